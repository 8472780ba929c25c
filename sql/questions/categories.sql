-- How many clips are of each category, and how they score.
-- Parameters:
-- Columns:
--   category VARCHAR     as its definition tells it (sql/category.sql)
--   num_clips BIGINT     clips
--   share DOUBLE         of all clips, 0 to 1
--   aesthetic DOUBLE     mean score; null: no clip has one
--   motion DOUBLE        mean score; null: no clip has one
SELECT
    category, count(*) AS num_clips, count(*) / (sum(count(*)) OVER ())::DOUBLE AS share, avg(aesthetic) AS aesthetic,
    avg(motion) AS motion
FROM clips GROUP BY category ORDER BY num_clips DESC, category
