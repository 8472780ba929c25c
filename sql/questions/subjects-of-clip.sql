-- The subjects of a clip, with the kind of each and what of it is a repetition.
-- Parameters:
--   clip BIGINT   its clip_id
-- Columns:
--   object_id SMALLINT       upstream's id
--   class_name VARCHAR       the phrase
--   kind VARCHAR             as the category's definition tells it
--   x1 FLOAT                 box, pixels of the cropped frame; null: no box
--   y1 FLOAT                 top
--   x2 FLOAT                 right
--   y2 FLOAT                 bottom
--   area_ratio DOUBLE        of the cropped frame; null: no box, or no size
--   gme_score FLOAT          null: missing
--   aes_score FLOAT          null: missing
--   has_mask BOOLEAN         on the annotated frame
--   mask_is_empty BOOLEAN    null: no mask
--   copy_of SMALLINT         the first subject whose box nearly agrees (repeated_subjects); null: none before it
SELECT
    subject.object_id, subject.class_name, kinds.kind, x1, y1, x2, y2, area_ratio, gme_score, aes_score, has_mask, mask_is_empty,
    repeated.copy_of
FROM (SELECT * FROM sized_subjects WHERE clip_id = $clip) AS subject
LEFT JOIN class_kinds AS kinds USING (class_id)
LEFT JOIN (SELECT object_id, copy_of FROM repeated_subjects WHERE clip_id = $clip) AS repeated USING (object_id)
ORDER BY subject.object_id
