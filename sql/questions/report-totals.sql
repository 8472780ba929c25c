-- What there is in all: clips, their length, subjects, masks, pairs and views.
-- Parameters:
-- Columns:
--   num_clips BIGINT              clips
--   num_clips_with_video BIGINT   clips whose video file is in the release
--   seconds DOUBLE                length of the clips whose cut and frame rate are recorded; null: of none
--   num_source_videos BIGINT      videos that clips were cut from
--   num_subjects BIGINT           subjects
--   num_masks BIGINT              masks of all frames
--   num_pairs BIGINT              cross-video pairs with both clips
--   num_views BIGINT              GPT-Image-1 pictures of clips
SELECT
    count(*) AS num_clips,
    (SELECT count(*) FROM locations) AS num_clips_with_video,
    sum(CASE WHEN fps > 0 THEN (cut_end - cut_start) / fps::DOUBLE END) AS seconds,
    -- Of hashes: two million keys as text do not fit the memory that a question may take.
    count(DISTINCT hash(cluster_id)) AS num_source_videos,
    coalesce(sum(num_subjects), 0)::BIGINT AS num_subjects,
    coalesce(sum(num_masks), 0)::BIGINT AS num_masks,
    (SELECT count(*) FROM pair_links) AS num_pairs,
    (SELECT count(*) FROM clip_views) AS num_views
FROM clips
