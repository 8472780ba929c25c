-- Class names that hold a text, in any case; those that begin with it first, then the most frequent.
-- Parameters:
--   text VARCHAR     what to look for
--   most BIGINT 25   classes at most
-- Columns:
--   class_name VARCHAR     the phrase as upstream spells it
--   num_subjects BIGINT    subjects of it; 0: named by pairs or views only
--   num_clips BIGINT       clips with at least one
SELECT name AS class_name, num_subjects, num_clips FROM classes
WHERE contains(lower(name), lower($text))
ORDER BY starts_with(lower(name), lower($text)) DESC, class_id LIMIT $most
