-- Which oddities were met in upstream's records, and where to see one.
-- Parameters:
-- Columns:
--   quirk VARCHAR           its name in clips.quirks
--   num_clips BIGINT        clips with it
--   example_id INTEGER      the first of them
--   example_key VARCHAR     its key
SELECT quirk, count(*) AS num_clips, min(clip_id) AS example_id, arg_min(clip_key, clip_id) AS example_key
FROM (SELECT clip_id, clip_key, unnest(list_distinct(quirks)) AS quirk FROM clips WHERE len(quirks) > 0)
GROUP BY quirk ORDER BY num_clips DESC, quirk
