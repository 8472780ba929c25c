-- The catalog's tables as views. `{clips}` is replaced by where that table lies: a file, or an address below catalog://.
-- A view is made when a question first names it, with those it names itself, since making it reads the table's footer. So each
-- statement stands after those it needs, and makes one view or macro. A folder `part=…` above the files is no column of theirs.
--
-- clips        one row per clip: scores, ranges, tags             subjects   one row per object, with its class name
-- captions     one row per clip: its text                         classes    class names by frequency
-- pairs        one row per cross-video pair, with class names     views      one row per GPT-Image-1 picture
-- members      one row per video file of the release              locations  which bytes are a clip's file
-- backgrounds  one row per plate                                  masks      where a clip's mask blob lies
-- class_index  subjects by class                                  keys       clips by hash of the key
-- class_kinds  human, animal, food, … of each class               clip_categories  one row per clip: what it shows
-- clip_numbers  one row per clip: largest subject, nearest pair
--
-- sized_subjects, triples and pair_sides join these; macros.sql has the arithmetic, quality/ what is wrong with rows.
--
-- `opens2v info --schema` prints every column with its unit and the meaning of null.

-- Derived: the span that a clip trains on (face_cut, else cut, else the file; half-open), its length, and the picture after the crop.
CREATE VIEW clips AS
SELECT
    *,
    coalesce(face_cut_start, cut_start, 0) AS span_start,
    coalesce(face_cut_end, cut_end, num_frames) AS span_end,
    coalesce(face_cut_end, cut_end, num_frames) - coalesce(face_cut_start, cut_start, 0) AS span_frames,
    (coalesce(face_cut_end, cut_end, num_frames) - coalesce(face_cut_start, cut_start, 0)) / nullif(fps, 0) AS duration_seconds,
    coalesce(crop_x1 - crop_x0, width) AS crop_width,
    coalesce(crop_y1 - crop_y0, height) AS crop_height,
    coalesce(crop_x1 - crop_x0, width) / nullif(coalesce(crop_y1 - crop_y0, height), 0) AS aspect_ratio
FROM read_parquet('{clips}', hive_partitioning = false);
CREATE VIEW captions AS SELECT * FROM read_parquet('{captions}', hive_partitioning = false);
CREATE VIEW classes AS SELECT * FROM read_parquet('{classes}', hive_partitioning = false);
CREATE VIEW class_index AS SELECT * FROM read_parquet('{class_index}', hive_partitioning = false);
CREATE VIEW members AS SELECT * FROM read_parquet('{members}', hive_partitioning = false);
CREATE VIEW locations AS SELECT * FROM read_parquet('{locations}', hive_partitioning = false);
CREATE VIEW backgrounds AS SELECT * FROM read_parquet('{backgrounds}', hive_partitioning = false);
CREATE VIEW masks AS SELECT * FROM read_parquet('{masks}', hive_partitioning = false);
CREATE VIEW keys AS SELECT * FROM read_parquet('{keys}', hive_partitioning = false);

-- Worked out once by sql/category.sql, or by a definition of the user's own.
CREATE VIEW class_kinds AS SELECT * FROM read_parquet('{class_kinds}', hive_partitioning = false);
CREATE VIEW clip_categories AS SELECT * FROM read_parquet('{clip_categories}', hive_partitioning = false);
-- Likewise, by sql/clip-numbers.sql: subject_area and pair_similarity, which are columns of clips too.
CREATE VIEW clip_numbers AS SELECT * FROM read_parquet('{clip_numbers}', hive_partitioning = false);

CREATE VIEW subjects AS
SELECT subject.*, class.name AS class_name
FROM read_parquet('{subjects}', hive_partitioning = false) AS subject JOIN classes AS class USING (class_id);

CREATE VIEW views AS
SELECT view.*, class.name AS class_name
FROM read_parquet('{views}', hive_partitioning = false) AS view JOIN classes AS class USING (class_id);

-- Views by clip: a picture belongs to its clip and to the clip's twins in other parts.
CREATE VIEW clip_views AS
SELECT unnest(list_prepend(view.clip_id, view.twin_clip_ids)) AS clip_id, view.* EXCLUDE (clip_id, twin_clip_ids)
FROM views AS view WHERE view.clip_id IS NOT NULL;

-- Pairs by their row number in the file, which is what a shard of pairs is a range of.
CREATE VIEW pairs AS
SELECT pair.* EXCLUDE (file_row_number), pair.file_row_number AS pair_id, class.name AS class_name, partner.name AS partner_class_name
FROM read_parquet('{pairs}', file_row_number = true, hive_partitioning = false) AS pair
JOIN classes AS class ON class.class_id = pair.class_id
JOIN classes AS partner ON partner.class_id = pair.partner_class_id;

-- The same without class names: pages of ten million pairs are found without a join.
CREATE VIEW numbered_pairs AS
SELECT pair.* EXCLUDE (file_row_number), pair.file_row_number AS pair_id
FROM read_parquet('{pairs}', file_row_number = true, hive_partitioning = false) AS pair;

-- Which pairs have both clips in the catalog: the rows of config nexus-cross, by id alone.
CREATE VIEW known_pairs AS
SELECT file_row_number AS row_id FROM read_parquet('{pairs}', file_row_number = true, hive_partitioning = false)
WHERE clip_id IS NOT NULL AND partner_clip_id IS NOT NULL;

-- Pairs whose clips are both here, by ids and scores alone: ten million rows without a join.
CREATE VIEW pair_links AS
SELECT clip_id, partner_clip_id, class_id, partner_class_id, text_similarity, image_similarity
FROM read_parquet('{pairs}', hive_partitioning = false) WHERE clip_id IS NOT NULL AND partner_clip_id IS NOT NULL;

-- has_subject(clip_id, 'woman'): the clip has a subject of that class.
-- has_subject(clip_id, 'woman', min_gme := 0.3): one whose gme_score is at least that; a missing score is not.
CREATE MACRO has_subject(clip, wanted, min_gme := NULL) AS clip IN (
    SELECT entry.clip_id FROM class_index AS entry JOIN classes AS class USING (class_id)
    WHERE class.name = wanted AND (min_gme IS NULL OR entry.gme_score >= min_gme)
);

-- has_tag(tags, 'park'): one of upstream's word tags is this; tags is background_tags, subject_tags or object_tags.
CREATE MACRO has_tag(tags, wanted) AS list_contains(tags, wanted);

-- Subjects with the area of their box: box_area in pixels², area_ratio of the cropped frame; null: no box, or no frame size.
CREATE VIEW sized_subjects AS
SELECT
    subject.*,
    clip.crop_width,
    clip.crop_height,
    box_area(x1, y1, x2, y2) AS box_area,
    area_ratio(x1, y1, x2, y2, crop_width, crop_height) AS area_ratio
FROM subjects AS subject
JOIN clips AS clip USING (clip_id);

-- One row per subject-text-video triple: all columns of sized_subjects, its clip's scores and span, and its text.
CREATE VIEW triples AS
SELECT
    clip.clip_key, clip.part, clip.cluster_id, clip.fps, clip.span_start, clip.span_end, clip.duration_seconds, clip.tech,
    clip.motion, clip.aesthetic, clip.ann_frame_idx, text.caption, subject.*
FROM sized_subjects AS subject
JOIN clips AS clip USING (clip_id)
LEFT JOIN captions AS text USING (clip_id);

-- Pairs with both sides: keys, scores and the boxes of the two subjects; the partner's with partner_ before them.
-- Null: the clip is not in this catalog, or the pair names no subject. It reads clips and subjects whole, for one pair as for all:
-- questions/pair-sides.sql is for a page.
CREATE VIEW pair_sides AS
SELECT
    pair.*,
    clip.clip_key, clip.part, clip.cluster_id, clip.aesthetic, clip.motion,
    subject.x1, subject.y1, subject.x2, subject.y2, subject.gme_score, subject.aes_score,
    partner.clip_key AS partner_clip_key, partner.part AS partner_part, partner.cluster_id AS partner_cluster_id,
    partner.aesthetic AS partner_aesthetic, partner.motion AS partner_motion,
    other.x1 AS partner_x1, other.y1 AS partner_y1, other.x2 AS partner_x2, other.y2 AS partner_y2,
    other.gme_score AS partner_gme_score, other.aes_score AS partner_aes_score
FROM pairs AS pair
LEFT JOIN clips AS clip ON clip.clip_id = pair.clip_id
LEFT JOIN clips AS partner ON partner.clip_id = pair.partner_clip_id
LEFT JOIN subjects AS subject ON subject.clip_id = pair.clip_id AND subject.object_id = pair.object_id
LEFT JOIN subjects AS other ON other.clip_id = pair.partner_clip_id AND other.object_id = pair.partner_object_id;
