-- Clips that have a subject of a class, the best cut-out first.
-- Parameters:
--   class VARCHAR          the phrase as upstream spells it; find-classes finds it
--   min_gme DOUBLE NULL    only subjects whose gme_score is at least this; null: all
--   most BIGINT 50         clips at most
-- Columns:
--   clip_id INTEGER        the clip
--   clip_key VARCHAR       its key
--   part VARCHAR           its part
--   object_id SMALLINT     its subject of that class with the highest gme_score
--   gme_score FLOAT        of that subject; null: missing
--   aes_score FLOAT        of that subject; null: missing
--   aesthetic FLOAT        of the clip; null: missing
WITH best AS (
    SELECT clip_id, object_id, gme_score, aes_score
    FROM class_index
    WHERE class_id = (SELECT class_id FROM classes WHERE name = $class) AND ($min_gme IS NULL OR gme_score >= $min_gme::DOUBLE)
    QUALIFY row_number() OVER (PARTITION BY clip_id ORDER BY gme_score DESC NULLS LAST, object_id) = 1
    ORDER BY gme_score DESC NULLS LAST, clip_id LIMIT $most
)
SELECT best.clip_id, clip.clip_key, clip.part, best.object_id, best.gme_score, best.aes_score, clip.aesthetic
FROM best JOIN clips AS clip USING (clip_id) ORDER BY best.gme_score DESC NULLS LAST, best.clip_id
