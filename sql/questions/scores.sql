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
-- A quantile costs a hundred times what a count does: of more than 200,000 clips, a hash's choice of one in 25 is taken, and of their
-- subjects one in 100. Compared with a number that a subquery gives, the hash of 50 M rows takes 13 CPU seconds instead of 0.7:
-- hence the two halves.
WITH size AS (SELECT count(*) > 200000 AS is_large FROM clips),
some_clips AS (
    FROM (FROM clips WHERE hash(clip_id) % 25 = 0) WHERE (SELECT is_large FROM size)
    UNION ALL FROM clips WHERE NOT (SELECT is_large FROM size)
),
some_subjects AS (
    FROM (FROM class_index WHERE hash(clip_id) % 100 = 0) WHERE (SELECT is_large FROM size)
    UNION ALL FROM class_index WHERE NOT (SELECT is_large FROM size)
),
counted AS (
    SELECT count(*) AS num_rows, unnest([
        {'score': 'aesthetic', 'num_known': count(aesthetic), 'lowest': min(aesthetic)::DOUBLE, 'highest': max(aesthetic)::DOUBLE},
        {'score': 'motion', 'num_known': count(motion), 'lowest': min(motion)::DOUBLE, 'highest': max(motion)::DOUBLE},
        {'score': 'tech', 'num_known': count(tech), 'lowest': min(tech)::DOUBLE, 'highest': max(tech)::DOUBLE},
        {'score': 'foreground_aesthetic', 'num_known': count(foreground_aesthetic), 'lowest': min(foreground_aesthetic)::DOUBLE, 'highest': max(foreground_aesthetic)::DOUBLE},
        {'score': 'background_aesthetic', 'num_known': count(background_aesthetic), 'lowest': min(background_aesthetic)::DOUBLE, 'highest': max(background_aesthetic)::DOUBLE}
    ]) AS found FROM clips
    UNION ALL
    SELECT count(*), unnest([
        {'score': 'gme_score', 'num_known': count(gme_score), 'lowest': min(gme_score)::DOUBLE, 'highest': max(gme_score)::DOUBLE},
        {'score': 'aes_score', 'num_known': count(aes_score), 'lowest': min(aes_score)::DOUBLE, 'highest': max(aes_score)::DOUBLE}
    ]) FROM class_index
),
cut AS (
    SELECT unnest([
        {'score': 'aesthetic', 'q': quantile_cont(aesthetic::DOUBLE, [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])},
        {'score': 'motion', 'q': quantile_cont(motion::DOUBLE, [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])},
        {'score': 'tech', 'q': quantile_cont(tech::DOUBLE, [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])},
        {'score': 'foreground_aesthetic', 'q': quantile_cont(foreground_aesthetic::DOUBLE, [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])},
        {'score': 'background_aesthetic', 'q': quantile_cont(background_aesthetic::DOUBLE, [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])}
    ]) AS found FROM some_clips
    UNION ALL
    SELECT unnest([
        {'score': 'gme_score', 'q': quantile_cont(gme_score::DOUBLE, [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])},
        {'score': 'aes_score', 'q': quantile_cont(aes_score::DOUBLE, [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])}
    ]) FROM some_subjects
),
named AS (SELECT unnest(found) FROM cut)
SELECT
    found.score, found.num_known, num_rows - found.num_known AS num_missing, found.lowest, q[1] AS q01, q[2] AS q10, q[3] AS q25,
    q[4] AS q50, q[5] AS q75, q[6] AS q90, q[7] AS q99, found.highest
FROM counted JOIN named ON named.score = found.score
ORDER BY list_position([
    'aesthetic', 'motion', 'tech', 'foreground_aesthetic', 'background_aesthetic', 'gme_score', 'aes_score'
], found.score)
