-- How alike the two sides of cross-video pairs are, as a histogram of image_similarity.
-- Parameters:
--   step DOUBLE 0.02   width of a bin, above 0
-- Columns:
--   image_similarity DOUBLE    lower edge of the bin; null: missing
--   num_pairs BIGINT           pairs
--   num_same_class BIGINT      those whose two class names are one
SELECT
    round(floor(image_similarity::DOUBLE / $step) * $step, 9) AS image_similarity, count(*) AS num_pairs,
    count(*) FILTER (class_id = partner_class_id) AS num_same_class
FROM pair_links GROUP BY 1 ORDER BY 1 NULLS LAST
