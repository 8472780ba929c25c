-- How many subjects clips have.
-- Parameters:
--   most INTEGER 20   clips with more count as if they had so many
-- Columns:
--   num_subjects INTEGER   subjects of a clip
--   num_clips BIGINT       clips with so many
SELECT least(num_subjects, $most)::INTEGER AS num_subjects, count(*) AS num_clips
FROM clips GROUP BY 1 ORDER BY 1
