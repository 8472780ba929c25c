-- A page of cross-video pairs with both sides: keys, scores and boxes of the two subjects.
-- Parameters:
--   lo BIGINT 0     first pair_id
--   hi BIGINT 50    pair_id to stop before
-- Columns:
--   pair_id BIGINT                    row of pairs
--   clip_id INTEGER                   one side; null: not in this catalog, as all of that side then is
--   object_id SMALLINT                its subject; null: older form
--   class_name VARCHAR                as the pair names it
--   subject_class_name VARCHAR        of the subject itself; null: unknown or not there
--   clip_key VARCHAR                  key of the clip
--   part VARCHAR                      its part
--   aesthetic FLOAT                   of the clip; null: missing
--   gme_score FLOAT                   of the subject; null: missing
--   x1 FLOAT                          its box, pixels of the cropped frame; null: no box
--   y1 FLOAT                          top
--   x2 FLOAT                          right
--   y2 FLOAT                          bottom
--   partner_clip_id INTEGER           the other side, as above
--   partner_object_id SMALLINT        its subject
--   partner_class_name VARCHAR        as the pair names it
--   partner_subject_class_name VARCHAR   of the subject itself
--   partner_clip_key VARCHAR          key of the clip
--   partner_part VARCHAR              its part
--   partner_aesthetic FLOAT           of the clip
--   partner_gme_score FLOAT           of the subject
--   partner_x1 FLOAT                  its box
--   partner_y1 FLOAT                  top
--   partner_x2 FLOAT                  right
--   partner_y2 FLOAT                  bottom
--   text_similarity FLOAT             null: missing
--   image_similarity FLOAT            null: missing
-- Clips and subjects are first joined to the few ids that are wanted: an inner join opens only the row groups that hold them, while the
-- left joins of view pair_sides read both tables whole.
WITH chosen AS MATERIALIZED (SELECT * FROM pairs WHERE pair_id >= $lo AND pair_id < $hi),
wanted AS MATERIALIZED (SELECT clip_id FROM chosen UNION SELECT partner_clip_id FROM chosen),
some_clips AS MATERIALIZED (SELECT clip_id, clip_key, part, aesthetic FROM clips JOIN wanted USING (clip_id)),
some_subjects AS MATERIALIZED (
    SELECT clip_id, object_id, class_name, gme_score, x1, y1, x2, y2 FROM subjects JOIN wanted USING (clip_id)
)
SELECT
    pair.pair_id, pair.clip_id, pair.object_id, pair.class_name, subject.class_name AS subject_class_name, clip.clip_key, clip.part,
    clip.aesthetic, subject.gme_score, subject.x1, subject.y1, subject.x2, subject.y2,
    pair.partner_clip_id, pair.partner_object_id, pair.partner_class_name, other.class_name AS partner_subject_class_name,
    partner.clip_key AS partner_clip_key, partner.part AS partner_part, partner.aesthetic AS partner_aesthetic,
    other.gme_score AS partner_gme_score, other.x1 AS partner_x1, other.y1 AS partner_y1, other.x2 AS partner_x2,
    other.y2 AS partner_y2, pair.text_similarity, pair.image_similarity
FROM chosen AS pair
LEFT JOIN some_clips AS clip ON clip.clip_id = pair.clip_id
LEFT JOIN some_clips AS partner ON partner.clip_id = pair.partner_clip_id
LEFT JOIN some_subjects AS subject ON subject.clip_id = pair.clip_id AND subject.object_id = pair.object_id
LEFT JOIN some_subjects AS other ON other.clip_id = pair.partner_clip_id AND other.object_id = pair.partner_object_id
ORDER BY pair.pair_id
