-- How much of each fault there is: the views of sql/quality, each counted (repeated_subjects has the clips of near_copies).
-- Parameters:
--   lo BIGINT 0            first clip_id to look at
--   hi BIGINT 2147483647   clip_id to stop before
-- Columns:
--   fault VARCHAR        the view, whose rows are the cases; `clip_id IN (SELECT clip_id FROM …)` chooses their clips
--   num_rows BIGINT      cases: two subjects, a subject, a pair or a clip
--   num_clips BIGINT     clips with at least one; of pairs, the clip of their first side
-- Near copies and captions are looked for clip by clip: a whole release takes minutes, a range of clips its share.
SELECT 'near_copies' AS fault, count(*) AS num_rows, count(DISTINCT clip_id) AS num_clips FROM near_copies WHERE clip_id >= $lo AND clip_id < $hi
UNION ALL SELECT 'empty_masks', count(*), count(DISTINCT clip_id) FROM empty_masks WHERE clip_id >= $lo AND clip_id < $hi
UNION ALL SELECT 'tiny_subjects', count(*), count(DISTINCT clip_id) FROM tiny_subjects WHERE clip_id >= $lo AND clip_id < $hi
UNION ALL SELECT 'alike_pairs', count(*), count(DISTINCT clip_id) FROM alike_pairs WHERE clip_id >= $lo AND clip_id < $hi
UNION ALL SELECT 'disagreeing_pairs', count(*), count(DISTINCT clip_id) FROM disagreeing_pairs WHERE clip_id >= $lo AND clip_id < $hi
UNION ALL SELECT 'clips_without_bytes', count(*), count(DISTINCT clip_id) FROM clips_without_bytes WHERE clip_id >= $lo AND clip_id < $hi
UNION ALL SELECT 'captions_without_subject', count(*), count(DISTINCT clip_id) FROM captions_without_subject WHERE clip_id >= $lo AND clip_id < $hi
