-- The cross-video pairs that a clip is part of, the most alike first.
-- Parameters:
--   clip BIGINT       its clip_id, on either side
--   most BIGINT 100   pairs at most
-- Columns:
--   pair_id BIGINT                  row of pairs
--   clip_id INTEGER                 one side; null: not in this catalog
--   object_id SMALLINT              its subject; null: older form
--   class_name VARCHAR              as the pair names it
--   partner_clip_id INTEGER         the other side; null: not in this catalog
--   partner_object_id SMALLINT      its subject; null: older form
--   partner_class_name VARCHAR      as the pair names it
--   text_similarity FLOAT           null: missing
--   image_similarity FLOAT          null: missing
SELECT
    pair_id, clip_id, object_id, class_name, partner_clip_id, partner_object_id, partner_class_name, text_similarity, image_similarity
FROM pairs WHERE clip_id = $clip OR partner_clip_id = $clip
ORDER BY image_similarity DESC NULLS LAST, pair_id LIMIT $most
