-- GPT-Image-1 views of the clips in $ids, by clip and number.
-- Parameters: ids, lo, hi as in clips.sql. Columns: those of view clip_views; object_id, the clip's largest box of the view's
-- class (upstream asks for pictures of tags whose box is large), null when the clip has none.
SELECT view.*, subject.object_id
FROM (SELECT * FROM clip_views WHERE clip_id IN (SELECT unnest($ids))) AS view
LEFT JOIN (
    SELECT clip_id, class_id, arg_max(object_id, (x2 - x1) * (y2 - y1)) AS object_id
    FROM subjects
    WHERE clip_id >= $lo AND clip_id < $hi AND clip_id IN (SELECT unnest($ids)) AND x1 IS NOT NULL GROUP BY ALL
) AS subject USING (clip_id, class_id)
ORDER BY clip_id, folder_key, view_idx, path
