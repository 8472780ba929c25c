-- What `where` of config nexus-gpt is asked of: a row per clip that has GPT-Image-1 views.
SELECT clip.*, clip_id AS row_id FROM clips AS clip WHERE clip_id IN (SELECT clip_id FROM clip_views)
