-- All clips that were cut from one source video, in the order of the catalog.
-- Parameters:
--   cluster VARCHAR   the source video, as clips.cluster_id has it
-- Columns:
--   clip_id INTEGER            the clip
--   clip_key VARCHAR           its key
--   part VARCHAR               its part
--   path VARCHAR               its file; null: the record has none
--   span_start INTEGER         first frame of its span
--   span_end INTEGER           frame after the last; null: not recorded
--   num_subjects INTEGER       subjects
--   aesthetic FLOAT            null: missing
SELECT clip_id, clip_key, part, path, span_start, span_end, num_subjects, aesthetic
FROM clips WHERE cluster_id = $cluster ORDER BY clip_id
