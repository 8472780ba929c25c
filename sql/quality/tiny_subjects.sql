-- Subjects whose box covers less than 0.1% of the cropped frame (30 x 30 pixels of 1280 x 720), or nothing: too small to be learnt from.
-- The box is what a table can tell. The mask's own area is in its run lengths: see opens2v_data.query.maskfacts.
CREATE VIEW tiny_subjects AS
SELECT clip_id, object_id, class_name, box_area, area_ratio FROM sized_subjects WHERE area_ratio < 0.001 OR box_area = 0;
