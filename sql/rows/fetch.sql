-- What fetching clips needs of them, for the ids in $ids: keys, and the place of their bytes.
-- Parameters: ids (INTEGER[]), lo and hi (the range that holds them, half-open, so that other row groups stay closed).
-- Columns: clip_id, part, clip_key; name, offset, size_bytes, has_ftyp of the member (null: the release has no bytes).
SELECT
    clip.clip_id, clip.part, clip.clip_key, location.name, location."offset", location.size_bytes, member.has_ftyp
FROM (SELECT clip_id, part, clip_key FROM clips WHERE clip_id >= $lo AND clip_id < $hi AND clip_id IN (SELECT unnest($ids))) AS clip
LEFT JOIN (
    SELECT * FROM locations WHERE clip_id >= $lo AND clip_id < $hi AND clip_id IN (SELECT unnest($ids))
) AS location USING (clip_id)
LEFT JOIN (
    SELECT member_id, has_ftyp FROM members WHERE member_id IN (
        SELECT member_id FROM locations WHERE clip_id >= $lo AND clip_id < $hi AND clip_id IN (SELECT unnest($ids))
    )
) AS member USING (member_id)
ORDER BY clip_id
