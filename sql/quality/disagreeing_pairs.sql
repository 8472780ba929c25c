-- Cross-video pairs whose classes disagree: the two names of the pair differ, or a name is not that of the subject that the pair
-- points to, or there is no such subject. What a catalog cannot know (a clip that is not in it, a pair of the older form without
-- object ids) is no disagreement. Every pair is joined to two subjects: some 20 CPU seconds for 10 M pairs.
-- subject_class_name, partner_subject_class_name: of the subjects pointed to; null: unknown or not there.
CREATE VIEW disagreeing_pairs AS
SELECT
    pair.pair_id, pair.clip_id, pair.partner_clip_id, pair.object_id, pair.partner_object_id, pair.class_name,
    pair.partner_class_name,
    here.class_name AS subject_class_name,
    there.class_name AS partner_subject_class_name,
    pair.text_similarity,
    pair.class_id <> pair.partner_class_id AS do_names_differ,
    pair.clip_id IS NOT NULL AND pair.object_id IS NOT NULL AND here.class_id IS DISTINCT FROM pair.class_id AS is_subject_another,
    pair.partner_clip_id IS NOT NULL AND pair.partner_object_id IS NOT NULL
        AND there.class_id IS DISTINCT FROM pair.partner_class_id AS is_partner_another
FROM pairs AS pair
LEFT JOIN subjects AS here ON here.clip_id = pair.clip_id AND here.object_id = pair.object_id
LEFT JOIN subjects AS there ON there.clip_id = pair.partner_clip_id AND there.object_id = pair.partner_object_id
WHERE do_names_differ OR is_subject_another OR is_partner_another;
