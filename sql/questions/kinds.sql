-- How many subjects, class names and clips are of each kind, as the category's definition tells kinds.
-- Parameters:
-- Columns:
--   kind VARCHAR           human, people, face, animal, …
--   num_subjects BIGINT    subjects
--   num_classes BIGINT     class names that subjects have
--   num_clips BIGINT       clips with at least one
--   top_class VARCHAR      its most frequent class name
WITH of_classes AS (
    SELECT kind, sum(num_subjects)::BIGINT AS num_subjects, count(*) AS num_classes, arg_min(name, class_id) AS top_class
    FROM classes JOIN class_kinds USING (class_id) WHERE num_subjects > 0 GROUP BY kind
),
of_clips AS (SELECT kind, count(*) AS num_clips FROM (SELECT unnest(kinds) AS kind FROM clip_categories) GROUP BY kind)
SELECT kind, num_subjects, num_classes, coalesce(num_clips, 0) AS num_clips, top_class
FROM of_classes LEFT JOIN of_clips USING (kind) ORDER BY num_subjects DESC, kind
