-- The most frequent classes of subjects.
-- Parameters:
--   most INTEGER 25   classes at most
-- Columns:
--   class_name VARCHAR     the class as upstream spells it
--   num_subjects BIGINT    subjects of it
WITH counted AS (
    SELECT class_id, count(*) AS num_subjects FROM class_index GROUP BY class_id ORDER BY num_subjects DESC, class_id LIMIT $most
)
SELECT class.name AS class_name, counted.num_subjects
FROM counted JOIN classes AS class USING (class_id) ORDER BY counted.num_subjects DESC, class_id
