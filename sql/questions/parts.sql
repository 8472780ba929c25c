-- What each part of the release gives, in order of name.
-- Parameters:
-- Columns:
--   part VARCHAR                  the part
--   num_clips BIGINT              clips
--   num_clips_with_video BIGINT   clips whose video file is in the release
--   num_source_videos BIGINT      videos that its clips were cut from
--   num_subjects BIGINT           subjects
--   num_masks BIGINT              masks, of all frames
--   seconds DOUBLE                length of the clips whose span and rate are recorded; null: of none
--   aesthetic DOUBLE              mean score; null: no clip has one
SELECT
    clip.part,
    count(*) AS num_clips,
    count(place.clip_id) AS num_clips_with_video,
    -- Of hashes: two million keys as text do not fit the memory that a question may take.
    count(DISTINCT hash(clip.cluster_id)) AS num_source_videos,
    coalesce(sum(clip.num_subjects), 0)::BIGINT AS num_subjects,
    coalesce(sum(clip.num_masks), 0)::BIGINT AS num_masks,
    sum(duration_seconds(clip.span_start, clip.span_end, clip.fps)) AS seconds,
    avg(clip.aesthetic) AS aesthetic
FROM clips AS clip LEFT JOIN (SELECT clip_id FROM locations) AS place USING (clip_id)
GROUP BY clip.part ORDER BY clip.part
