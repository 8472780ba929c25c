-- Clip keys that several parts hold: the same clip, published more than once.
-- Parameters:
--   most BIGINT 100   keys at most
-- Columns:
--   clip_key VARCHAR       the key
--   num_clips BIGINT       clips that have it
--   parts VARCHAR[]        where, in order of name
--   clip_ids INTEGER[]     their ids, ascending
SELECT clip_key, count(*) AS num_clips, list(part ORDER BY part) AS parts, list(clip_id ORDER BY clip_id) AS clip_ids
FROM clips
-- Keys by hash first: of all keys as text there is no room.
WHERE hash(clip_key) IN (SELECT hash(clip_key) FROM clips GROUP BY 1 HAVING count(*) > 1)
GROUP BY clip_key HAVING count(*) > 1 ORDER BY num_clips DESC, clip_key LIMIT $most
