-- How many video files the release has, and how large they are together.
-- Parameters:
-- Columns:
--   num_files BIGINT    members of the tars
--   size_bytes BIGINT   of their payloads
SELECT count(*) AS num_files, coalesce(sum(size_bytes), 0)::BIGINT AS size_bytes FROM members
