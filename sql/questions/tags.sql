-- Upstream's most frequent word tags.
-- Parameters:
--   list VARCHAR subject   background, subject, object or pre_define
--   most BIGINT 25         tags at most
-- Columns:
--   tag VARCHAR        the phrase
--   num_clips BIGINT   clips with it
SELECT tag, count(*) AS num_clips
FROM (
    SELECT unnest(list_distinct(CASE $list
        WHEN 'background' THEN background_tags WHEN 'subject' THEN subject_tags WHEN 'object' THEN object_tags
        WHEN 'pre_define' THEN pre_define_tags ELSE error('list must be background, subject, object or pre_define')
    END)) AS tag
    FROM clips
)
GROUP BY tag ORDER BY num_clips DESC, tag LIMIT $most
