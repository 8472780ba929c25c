-- How the numbers of clips lie: how many are in each bin between their 0.5% and 99.5% quantiles, which are those of
-- some 100,000 clips where there are more.
-- Parameters:
--   bins INTEGER 40   bins of each
-- Columns:
--   what VARCHAR          the column of clips
--   bin INTEGER           0 is the lowest; a bin without clips has no row
--   low DOUBLE            lower edge of the lowest bin: about the 0.5% quantile; of fewer than 1,000 rows the lowest
--   high DOUBLE           upper edge of the highest bin: about the 99.5% quantile; of fewer than 1,000 rows the highest
--   num_clips BIGINT      clips in the bin
--   num_known BIGINT      clips that have the number, in a bin or beyond them
WITH ends AS (
    -- A quantile costs a hundred times what a bin does, so not of all; of few rows it would leave some out for nothing.
    SELECT
        if(
            count(*) < 1000, [min(aesthetic), max(aesthetic)]::DOUBLE[],
            quantile_cont(aesthetic::DOUBLE, [0.005, 0.995]) FILTER (isfinite(aesthetic))
        ) AS aesthetic,
        if(
            count(*) < 1000, [min(foreground_aesthetic), max(foreground_aesthetic)]::DOUBLE[],
            quantile_cont(foreground_aesthetic::DOUBLE, [0.005, 0.995]) FILTER (isfinite(foreground_aesthetic))
        ) AS foreground_aesthetic,
        if(
            count(*) < 1000, [min(background_aesthetic), max(background_aesthetic)]::DOUBLE[],
            quantile_cont(background_aesthetic::DOUBLE, [0.005, 0.995]) FILTER (isfinite(background_aesthetic))
        ) AS background_aesthetic,
        if(
            count(*) < 1000, [min(motion), max(motion)]::DOUBLE[],
            quantile_cont(motion::DOUBLE, [0.005, 0.995]) FILTER (isfinite(motion))
        ) AS motion,
        if(
            count(*) < 1000, [min(tech), max(tech)]::DOUBLE[],
            quantile_cont(tech::DOUBLE, [0.005, 0.995]) FILTER (isfinite(tech))
        ) AS tech,
        if(
            count(*) < 1000, [min(duration_seconds), max(duration_seconds)]::DOUBLE[],
            quantile_cont(duration_seconds::DOUBLE, [0.005, 0.995]) FILTER (isfinite(duration_seconds))
        ) AS duration_seconds,
        if(
            count(*) < 1000, [min(aspect_ratio), max(aspect_ratio)]::DOUBLE[],
            quantile_cont(aspect_ratio::DOUBLE, [0.005, 0.995]) FILTER (isfinite(aspect_ratio))
        ) AS aspect_ratio
    FROM clips WHERE hash(clip_id) % greatest(1, (SELECT count(*) FROM clips) // 100000) = 0
),
placed AS (
    SELECT
        bin_of(row.aesthetic, ends.aesthetic[1], ends.aesthetic[2], $bins) AS aesthetic,
        bin_of(row.foreground_aesthetic, ends.foreground_aesthetic[1], ends.foreground_aesthetic[2], $bins) AS foreground_aesthetic,
        bin_of(row.background_aesthetic, ends.background_aesthetic[1], ends.background_aesthetic[2], $bins) AS background_aesthetic,
        bin_of(row.motion, ends.motion[1], ends.motion[2], $bins) AS motion,
        bin_of(row.tech, ends.tech[1], ends.tech[2], $bins) AS tech,
        bin_of(row.duration_seconds, ends.duration_seconds[1], ends.duration_seconds[2], $bins) AS duration_seconds,
        bin_of(row.aspect_ratio, ends.aspect_ratio[1], ends.aspect_ratio[2], $bins) AS aspect_ratio
    FROM clips AS row, ends
),
counted AS (
    SELECT aesthetic, foreground_aesthetic, background_aesthetic, motion, tech, duration_seconds, aspect_ratio, count(*) AS num_clips
    FROM placed GROUP BY GROUPING SETS ((aesthetic), (foreground_aesthetic), (background_aesthetic), (motion), (tech), (duration_seconds), (aspect_ratio))
),
-- A row of `counted` has one number, that of its set; without it, the rows whose number is null: none to count.
bins AS (UNPIVOT counted ON COLUMNS(* EXCLUDE (num_clips)) INTO NAME what VALUE bin),
edges AS (UNPIVOT ends ON COLUMNS(*) INTO NAME what VALUE edge)
SELECT
    what, bin, edge[1] AS low, edge[2] AS high, num_clips,
    (sum(num_clips) OVER (PARTITION BY what))::BIGINT AS num_known
FROM bins JOIN edges USING (what) QUALIFY bin >= 0 ORDER BY what, bin
