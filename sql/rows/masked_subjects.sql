-- Subjects with a mask on the annotated frame, of the clips in $ids, by clip and object id.
-- Parameters: ids, lo, hi as in clips.sql. Columns: clip_id, object_id, class_name, x1, y1, x2, y2, ann_frame_idx.
SELECT subject.clip_id, object_id, class_name, x1, y1, x2, y2, ann_frame_idx
FROM (SELECT * FROM subjects WHERE clip_id >= $lo AND clip_id < $hi AND clip_id IN (SELECT unnest($ids)) AND has_mask) AS subject
JOIN (
    SELECT clip_id, ann_frame_idx FROM clips WHERE clip_id >= $lo AND clip_id < $hi AND clip_id IN (SELECT unnest($ids))
) AS clip USING (clip_id)
ORDER BY clip_id, object_id
