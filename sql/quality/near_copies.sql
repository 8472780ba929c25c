-- Subjects of one clip whose boxes nearly agree: one thing found under several names, or twice under one.
-- A row per two subjects whose iou is 0.8 or more (the 16 boxes of the real sample's clip are 9 things at that);
-- object_id < other_object_id. All subjects of a clip are compared with each other: some 40 CPU seconds for 50 M subjects, so give it a
-- range of clip_id where one will do.
-- Boxes that overlap by 0.8 have areas that differ by no more; asked first, this takes a quarter of the time.
CREATE VIEW near_copies AS
SELECT clip_id, object_id, other_object_id, class.name AS class_name, other_class.name AS other_class_name, iou
FROM (
    SELECT *, shared / (area + other_area - shared) AS iou
    FROM (
        SELECT
            one.clip_id, one.object_id, other.object_id AS other_object_id, one.class_id, other.class_id AS other_class_id,
            one.area, other.area AS other_area,
            box_overlap(one.x1, one.y1, one.x2, one.y2, other.x1, other.y1, other.x2, other.y2) AS shared
        FROM (SELECT *, box_area(x1, y1, x2, y2) AS area FROM subjects) AS one
        JOIN (SELECT *, box_area(x1, y1, x2, y2) AS area FROM subjects) AS other
            ON other.clip_id = one.clip_id AND other.object_id > one.object_id
            AND other.area >= 0.8 * one.area AND one.area >= 0.8 * other.area AND one.area > 0
    )
    WHERE shared >= 0.8 * (area + other_area - shared)
)
JOIN classes AS class USING (class_id)
JOIN classes AS other_class ON other_class.class_id = other_class_id;
