-- Which class names cross-video pairs bring together, and how alike the two sides are.
-- Parameters:
--   most BIGINT 25   combinations at most
-- Columns:
--   class_name VARCHAR              of the clip's subject, as the pair names it
--   partner_class_name VARCHAR      of the partner's
--   num_pairs BIGINT                pairs
--   image_similarity DOUBLE         mean; null: missing in all
--   text_similarity DOUBLE          mean; null: missing in all
SELECT class.name AS class_name, partner.name AS partner_class_name, num_pairs, image_similarity, text_similarity
FROM (
    SELECT
        class_id, partner_class_id, count(*) AS num_pairs, avg(image_similarity) AS image_similarity,
        avg(text_similarity) AS text_similarity
    FROM pair_links GROUP BY class_id, partner_class_id ORDER BY num_pairs DESC, class_id, partner_class_id LIMIT $most
) AS counted
JOIN classes AS class USING (class_id)
JOIN classes AS partner ON partner.class_id = partner_class_id
ORDER BY num_pairs DESC, class_id, partner_class_id
