-- Clips whose video is not in the release: no member of its part's tar, and no file, is theirs. In a catalog without an index of
-- the archives that is every clip.
CREATE VIEW clips_without_bytes AS
SELECT clip.clip_id, clip.part, clip.clip_key, clip.path
FROM clips AS clip ANTI JOIN locations USING (clip_id);
