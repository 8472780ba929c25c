-- Under which two names one thing is found most often: subjects of a clip whose boxes nearly agree.
-- Parameters:
--   lo BIGINT 0         first clip_id to look at
--   hi BIGINT 100000    clip_id to stop before
--   most BIGINT 25      combinations at most
-- Columns:
--   class_name VARCHAR           of the one
--   other_class_name VARCHAR     of the other; the two in alphabetical order
--   num_times BIGINT             how often
--   mean_iou DOUBLE              of their boxes
SELECT
    least(class_name, other_class_name) AS class_name, greatest(class_name, other_class_name) AS other_class_name,
    count(*) AS num_times, avg(iou) AS mean_iou
FROM near_copies WHERE clip_id >= $lo AND clip_id < $hi
GROUP BY 1, 2 ORDER BY num_times DESC, 1, 2 LIMIT $most
