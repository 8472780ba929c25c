-- Quantiles of the scores of clips and subjects.
-- Parameters:
-- Columns:
--   score VARCHAR        column of clips or subjects
--   num_known BIGINT     rows that have it
--   num_missing BIGINT   rows that have it not
--   lowest DOUBLE        null, as all after it: no row has the score
--   q01 DOUBLE           1% of the rows are at or below
--   q10 DOUBLE           10%
--   q25 DOUBLE           25%
--   q50 DOUBLE           half of them
--   q75 DOUBLE           75%
--   q90 DOUBLE           90%
--   q99 DOUBLE           99%
--   highest DOUBLE       the most
-- Of more than half a million rows quantiles are those of a hash's choice of some 500,000: exact ones need all values in memory.
WITH values_of(score, value, row_hash) AS (
    SELECT 'aesthetic', aesthetic::DOUBLE, hash(clip_id) FROM clips
    UNION ALL SELECT 'motion', motion::DOUBLE, hash(clip_id) FROM clips
    UNION ALL SELECT 'tech', tech, hash(clip_id) FROM clips
    UNION ALL SELECT 'foreground_aesthetic', foreground_aesthetic::DOUBLE, hash(clip_id) FROM clips
    UNION ALL SELECT 'background_aesthetic', background_aesthetic::DOUBLE, hash(clip_id) FROM clips
    UNION ALL SELECT 'gme_score', gme_score::DOUBLE, hash(clip_id) FROM class_index
    UNION ALL SELECT 'aes_score', aes_score::DOUBLE, hash(clip_id) FROM class_index
),
thinned AS (
    SELECT score, value, row_hash, if(
        score IN ('gme_score', 'aes_score'),
        greatest(1, (SELECT count(*) FROM class_index) // 500000), greatest(1, (SELECT count(*) FROM clips) // 500000)
    ) AS every FROM values_of
),
counted AS (
    SELECT
        score, count(value) AS num_known, count(*) - count(value) AS num_missing, min(value) AS lowest,
        quantile_cont(value, [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]) FILTER (row_hash % every = 0) AS q, max(value) AS highest
    FROM thinned GROUP BY score
)
SELECT
    score, num_known, num_missing, lowest, q[1] AS q01, q[2] AS q10, q[3] AS q25, q[4] AS q50, q[5] AS q75, q[6] AS q90, q[7] AS q99,
    highest
FROM counted
ORDER BY list_position(['aesthetic', 'motion', 'tech', 'foreground_aesthetic', 'background_aesthetic', 'gme_score', 'aes_score'], score)
