-- Arithmetic that questions share. A null among the arguments gives null; what an edge, size or rate may be otherwise is said.

-- box_area(x1, y1, x2, y2): pixels²; 0 where an edge lies on the wrong side.
CREATE MACRO box_area(x1, y1, x2, y2) AS
    (CASE WHEN x2 < x1 THEN 0 ELSE x2::DOUBLE - x1 END) * (CASE WHEN y2 < y1 THEN 0 ELSE y2::DOUBLE - y1 END);

-- area_ratio(x1, y1, x2, y2, width, height): share of a frame of that size; more than 1 where the box leaves it; null: no such size.
CREATE MACRO area_ratio(x1, y1, x2, y2, width, height) AS
    box_area(x1, y1, x2, y2) / nullif(width::DOUBLE * height, 0);

-- duration_seconds(start_frame, end_frame, fps): of a half-open range; null where the rate is not above 0.
CREATE MACRO duration_seconds(start_frame, end_frame, fps) AS
    CASE WHEN fps > 0 THEN (end_frame - start_frame) / fps::DOUBLE END;

-- box_overlap(x1, y1, x2, y2, a1, b1, a2, b2): pixels² that two boxes share. Nulls are passed over: ask iou instead.
CREATE MACRO box_overlap(x1, y1, x2, y2, a1, b1, a2, b2) AS
    greatest(least(x2, a2)::DOUBLE - greatest(x1, a1), 0) * greatest(least(y2, b2)::DOUBLE - greatest(y1, b1), 0);

-- iou(x1, y1, x2, y2, a1, b1, a2, b2): intersection over union of two boxes, 0 to 1; 0 where neither has an area.
-- The areas carry the nulls.
CREATE MACRO iou(x1, y1, x2, y2, a1, b1, a2, b2) AS CASE
    WHEN box_area(x1, y1, x2, y2) + box_area(a1, b1, a2, b2) > 0
    THEN box_overlap(x1, y1, x2, y2, a1, b1, a2, b2)
        / (box_area(x1, y1, x2, y2) + box_area(a1, b1, a2, b2) - box_overlap(x1, y1, x2, y2, a1, b1, a2, b2))
    WHEN box_area(x1, y1, x2, y2) + box_area(a1, b1, a2, b2) = 0 THEN 0
END;

-- head_noun(name): the word of a class name that says what it is: the last one before the first preposition or verb such as
-- "wearing", in lower case; "woman in a blue top" is a woman, "blue top" a top. Null: the name has no word.
-- What stands between words here is anything that is no letter or digit.
CREATE MACRO head_noun(name) AS nullif(regexp_extract(
    regexp_replace(
        regexp_replace(lower(name), '[^\pL\pN]+', ' ', 'g') || ' ',
        ' (of|with|in|on|at|by|from|for|to|inside|under|over|near|behind|beside|next|that|who|which|is|are|wearing|holding|riding|sitting|standing|walking) .*$',
        ' '
    ),
    '(\S+) *$', 1
), '');

-- bin_of(number, low, high, bins): which of so many even bins of [low, high] a number is in, 0 the lowest; -1 outside of them; null: no
-- finite number, or no edges.
CREATE MACRO bin_of(number, low, high, bins) AS CASE
    WHEN number IS NULL OR NOT isfinite(number::DOUBLE) OR low IS NULL OR high IS NULL THEN NULL
    WHEN number < low OR number > high THEN -1
    WHEN high > low THEN least(floor((number::DOUBLE - low) / (high - low) * bins), bins - 1)
    ELSE 0
END::INTEGER;
