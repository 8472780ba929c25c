-- Clips with text, place of their bytes and plate, for the ids in $ids.
-- Parameters: ids (INTEGER[]), lo and hi (the range that holds them, half-open, so that other row groups stay closed). Each table
-- is asked for the ids by itself: a left join alone would open every row group of the range.
-- Columns: all of clips; caption, alternatives; video_name, video_offset, video_size_bytes (null: no bytes); background_path.
SELECT
    clip.*,
    caption.caption,
    caption.alternatives,
    location.name AS video_name,
    location."offset" AS video_offset,
    location.size_bytes AS video_size_bytes,
    background.path AS background_path
FROM (SELECT * FROM clips WHERE clip_id >= $lo AND clip_id < $hi AND clip_id IN (SELECT unnest($ids))) AS clip
LEFT JOIN (SELECT * FROM captions WHERE clip_id >= $lo AND clip_id < $hi AND clip_id IN (SELECT unnest($ids))) AS caption USING (clip_id)
LEFT JOIN (SELECT * FROM locations WHERE clip_id >= $lo AND clip_id < $hi AND clip_id IN (SELECT unnest($ids))) AS location USING (clip_id)
LEFT JOIN (
    SELECT clip_id, min(path) AS path FROM backgrounds
    WHERE clip_id >= $lo AND clip_id < $hi AND clip_id IN (SELECT unnest($ids)) GROUP BY clip_id
) AS background USING (clip_id)
ORDER BY clip_id
