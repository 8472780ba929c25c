-- What `where` of config regular is asked of: a row per clip.
SELECT clip.*, clip_id AS row_id FROM clips AS clip
