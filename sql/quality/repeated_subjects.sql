-- Subjects that nearly repeat one with a smaller object_id in the same clip: what to leave out so that each thing is there once.
-- A row per subject; copy_of is the first one it repeats. Copies of copies are left out too, though the first may differ from them.
CREATE VIEW repeated_subjects AS
SELECT clip_id, other_object_id AS object_id, min(object_id) AS copy_of, max(iou) AS iou
FROM near_copies GROUP BY clip_id, other_object_id;
