-- What the release's video files hold, part by part: bytes, and files that no clip is cut from.
-- Parameters:
-- Columns:
--   part VARCHAR              the part
--   num_files BIGINT          video files
--   size_bytes BIGINT         of them
--   mean_bytes DOUBLE         of a file
--   num_clips BIGINT          clips that lie in them
--   num_unused BIGINT         files that no clip of this catalog is in
--   num_not_mp4 BIGINT        files that do not start like an mp4; those not looked at are not counted
SELECT
    member.part, count(*) AS num_files, sum(member.size_bytes)::BIGINT AS size_bytes, avg(member.size_bytes) AS mean_bytes,
    coalesce(sum(used.num_clips), 0)::BIGINT AS num_clips, count(*) FILTER (used.member_id IS NULL) AS num_unused,
    count(*) FILTER (NOT member.has_ftyp) AS num_not_mp4
FROM members AS member
LEFT JOIN (SELECT member_id, count(*) AS num_clips FROM locations GROUP BY member_id) AS used USING (member_id)
GROUP BY member.part ORDER BY member.part
