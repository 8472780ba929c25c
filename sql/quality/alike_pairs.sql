-- Cross-video pairs that are too alike to teach anything: nearly the same picture (image_similarity of 0.95 and more), or the same
-- frame of the same file. Upstream sets no upper bound.
CREATE VIEW alike_pairs AS
SELECT
    pair.pair_id, pair.clip_id, pair.partner_clip_id, pair.class_name, pair.partner_class_name, pair.image_similarity,
    pair.text_similarity,
    coalesce(here.member_id = there.member_id AND pair.frame_idx = pair.partner_frame_idx, false) AS is_same_frame
FROM pairs AS pair
LEFT JOIN locations AS here ON here.clip_id = pair.clip_id
LEFT JOIN locations AS there ON there.clip_id = pair.partner_clip_id
WHERE pair.image_similarity >= 0.95::FLOAT OR (here.member_id = there.member_id AND pair.frame_idx = pair.partner_frame_idx);
