-- From which field of the record captions come, and how long they are.
-- Parameters:
-- Columns:
--   caption_source VARCHAR    the field; null: no caption
--   num_clips BIGINT          clips
--   mean_characters DOUBLE    length of a caption; null: none
--   mean_words DOUBLE         words of it; null: none
SELECT
    clip.caption_source, count(*) AS num_clips, avg(length(text.caption)) AS mean_characters,
    avg(len(string_split(trim(regexp_replace(text.caption, '\s+', ' ', 'g')), ' '))) AS mean_words
FROM clips AS clip LEFT JOIN captions AS text USING (clip_id)
GROUP BY clip.caption_source ORDER BY num_clips DESC, caption_source
