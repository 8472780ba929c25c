-- The most frequent sizes of clips after the crop, which is what is trained on.
-- Parameters:
--   most BIGINT 20   sizes at most
-- Columns:
--   crop_width INTEGER     pixels; null: not recorded
--   crop_height INTEGER    pixels; null: not recorded
--   aspect_ratio DOUBLE    width by height; null: unknown
--   num_clips BIGINT       clips of that size
SELECT crop_width, crop_height, crop_width / nullif(crop_height, 0)::DOUBLE AS aspect_ratio, count(*) AS num_clips
FROM clips GROUP BY crop_width, crop_height ORDER BY num_clips DESC, crop_width, crop_height LIMIT $most
