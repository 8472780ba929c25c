-- The most frequent frame rates, to two decimals.
-- Parameters:
--   most INTEGER 10   rates at most
-- Columns:
--   fps DOUBLE         frames a second
--   num_clips BIGINT   clips of that rate
SELECT round(fps::DOUBLE, 2) AS fps, count(*) AS num_clips
FROM clips WHERE fps IS NOT NULL GROUP BY 1 ORDER BY num_clips DESC, fps LIMIT $most
