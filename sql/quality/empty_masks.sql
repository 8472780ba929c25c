-- Subjects whose mask on the annotated frame has no pixel.
CREATE VIEW empty_masks AS
SELECT clip_id, object_id, class_name, mask_score FROM subjects WHERE mask_is_empty;
