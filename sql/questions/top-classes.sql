-- The most frequent class names.
-- Parameters:
--   most BIGINT 25   classes at most
-- Columns:
--   class_name VARCHAR     the phrase as upstream spells it
--   num_subjects BIGINT    subjects of it
--   num_clips BIGINT       clips with at least one
SELECT name AS class_name, num_subjects, num_clips FROM classes
WHERE num_subjects > 0 ORDER BY class_id LIMIT $most
