-- How alike cross-video partners are, by GME cosine of cut-outs (image_similarity) and of class names (text_similarity).
-- Parameters:
--   bins INTEGER 50   bins between 0 and 1; what lies beyond counts in the bin at that end
-- Columns:
--   what VARCHAR       image_similarity or text_similarity
--   bin INTEGER        0 is the lowest; a bin without pairs has no row
--   num_pairs BIGINT   pairs in the bin
WITH placed AS (
    SELECT
        -- `least` and `greatest` pass nulls over.
        CASE WHEN image_similarity IS NOT NULL THEN bin_of(greatest(least(image_similarity, 1), 0), 0, 1, $bins) END AS image_similarity,
        CASE WHEN text_similarity IS NOT NULL THEN bin_of(greatest(least(text_similarity, 1), 0), 0, 1, $bins) END AS text_similarity
    FROM pair_links
),
counted AS (
    SELECT image_similarity, text_similarity, count(*) AS num_pairs
    FROM placed GROUP BY GROUPING SETS ((image_similarity), (text_similarity))
)
SELECT what, bin, num_pairs
FROM (UNPIVOT counted ON image_similarity, text_similarity INTO NAME what VALUE bin) ORDER BY what, bin
