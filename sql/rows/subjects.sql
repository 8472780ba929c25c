-- Subjects of the clips in $ids, by clip and object id.
-- Parameters: ids, lo, hi as in clips.sql. Columns: those of view subjects.
SELECT * FROM subjects
WHERE clip_id >= $lo AND clip_id < $hi AND clip_id IN (SELECT unnest($ids))
ORDER BY clip_id, object_id
