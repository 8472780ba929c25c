-- How the scores of subjects lie: how many are in each bin between their 0.5% and 99.5% quantiles, which are those
-- of the subjects of some 20,000 clips where there are more.
-- Parameters:
--   bins INTEGER 40   bins of each
-- Columns:
--   what VARCHAR           the column of subjects
--   bin INTEGER            0 is the lowest; a bin without subjects has no row
--   low DOUBLE             lower edge of the lowest bin: about the 0.5% quantile; of fewer than 1,000 rows the lowest
--   high DOUBLE            upper edge of the highest bin: about the 99.5% quantile; of fewer than 1,000 rows the highest
--   num_subjects BIGINT    subjects in the bin
--   num_known BIGINT       subjects that have the score, in a bin or beyond them
WITH ends AS (
    -- A quantile costs a hundred times what a bin does, so not of all; of few rows it would leave some out for nothing.
    SELECT
        if(
            count(*) < 1000, [min(gme_score), max(gme_score)]::DOUBLE[],
            quantile_cont(gme_score::DOUBLE, [0.005, 0.995]) FILTER (isfinite(gme_score))
        ) AS gme_score,
        if(
            count(*) < 1000, [min(aes_score), max(aes_score)]::DOUBLE[],
            quantile_cont(aes_score::DOUBLE, [0.005, 0.995]) FILTER (isfinite(aes_score))
        ) AS aes_score
    FROM class_index WHERE hash(clip_id) % greatest(1, (SELECT count(*) FROM clips) // 20000) = 0
),
placed AS (
    SELECT
        bin_of(row.gme_score, ends.gme_score[1], ends.gme_score[2], $bins) AS gme_score,
        bin_of(row.aes_score, ends.aes_score[1], ends.aes_score[2], $bins) AS aes_score
    FROM class_index AS row, ends
),
counted AS (
    SELECT gme_score, aes_score, count(*) AS num_subjects
    FROM placed GROUP BY GROUPING SETS ((gme_score), (aes_score))
),
-- A row of `counted` has one number, that of its set; without it, the rows whose number is null: none to count.
bins AS (UNPIVOT counted ON COLUMNS(* EXCLUDE (num_subjects)) INTO NAME what VALUE bin),
edges AS (UNPIVOT ends ON COLUMNS(*) INTO NAME what VALUE edge)
SELECT
    what, bin, edge[1] AS low, edge[2] AS high, num_subjects,
    (sum(num_subjects) OVER (PARTITION BY what))::BIGINT AS num_known
FROM bins JOIN edges USING (what) QUALIFY bin >= 0 ORDER BY what, bin
