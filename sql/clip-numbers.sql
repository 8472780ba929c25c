-- Numbers of clips that other tables hold, one row per clip from $lo to before $hi: worked out once, as the categories are, since a
-- question over all clips would join 50 M subjects or 10 M pairs each time.
-- subject_area: share of the cropped frame that the largest box of a subject covers; more than 1 where it leaves the frame; null: no
--   subject with a box, or no frame size.
-- pair_similarity: the highest image_similarity of the clip's cross-video pairs with both clips, on either side; null: no such pair.
SELECT clip_id, boxes.subject_area, links.pair_similarity
FROM (SELECT clip_id FROM clips WHERE clip_id >= $lo AND clip_id < $hi) AS clip
LEFT JOIN (
    SELECT clip_id, max(area_ratio) AS subject_area
    FROM sized_subjects WHERE clip_id >= $lo AND clip_id < $hi GROUP BY clip_id
) AS boxes USING (clip_id)
LEFT JOIN (
    SELECT clip_id, max(image_similarity) AS pair_similarity
    FROM (
        SELECT clip_id, image_similarity FROM pair_links WHERE clip_id >= $lo AND clip_id < $hi
        UNION ALL
        SELECT partner_clip_id, image_similarity FROM pair_links WHERE partner_clip_id >= $lo AND partner_clip_id < $hi
    )
    GROUP BY clip_id
) AS links USING (clip_id)
ORDER BY clip_id
