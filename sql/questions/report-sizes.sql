-- The most frequent sizes of decoded frames, before the crop.
-- Parameters:
--   most INTEGER 10   sizes at most
-- Columns:
--   width INTEGER      pixels
--   height INTEGER     pixels
--   num_clips BIGINT   clips of that size
SELECT width, height, count(*) AS num_clips
FROM clips WHERE width IS NOT NULL AND height IS NOT NULL
GROUP BY width, height ORDER BY num_clips DESC, width, height LIMIT $most
