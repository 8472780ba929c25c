-- Quantiles of one of upstream's scores over the clips that have it. One row.
-- Parameters:
--   score VARCHAR 'aesthetic'   aesthetic, motion or tech; one at a time, since exact quantiles hold all numbers in memory
-- Columns:
--   num_clips BIGINT   clips that have the score
--   p1 DOUBLE          1% of these have less; null: none has it
--   p10 DOUBLE         10%
--   p25 DOUBLE         25%
--   p50 DOUBLE         half
--   p75 DOUBLE         75%
--   p90 DOUBLE         90%
--   p99 DOUBLE         99%
WITH counted AS (
    SELECT count(*) AS num_clips, quantile_cont(number, [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]) AS parts
    FROM (
        SELECT CASE $score WHEN 'aesthetic' THEN aesthetic::DOUBLE WHEN 'motion' THEN motion::DOUBLE WHEN 'tech' THEN tech END AS number
        FROM clips
    ) WHERE isfinite(number)
)
SELECT
    num_clips, parts[1] AS p1, parts[2] AS p10, parts[3] AS p25, parts[4] AS p50, parts[5] AS p75, parts[6] AS p90,
    parts[7] AS p99
FROM counted
