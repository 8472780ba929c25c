-- What `where` of config nexus-cross is asked of: a row per pair whose two clips are in the catalog; the clip's columns by
-- their names, the partner's with partner_ before them.
SELECT
    pair.pair_id AS row_id,
    pair.* EXCLUDE (clip_ref, partner_ref),
    clip.* EXCLUDE (clip_id),
    partner.clip_key AS partner_clip_key,
    partner.part AS partner_part,
    partner.aesthetic AS partner_aesthetic,
    partner.motion AS partner_motion,
    partner.tech AS partner_tech,
    partner.fps AS partner_fps,
    partner.num_frames AS partner_num_frames,
    partner.width AS partner_width,
    partner.height AS partner_height
FROM pairs AS pair
JOIN clips AS clip ON clip.clip_id = pair.clip_id
JOIN clips AS partner ON partner.clip_id = pair.partner_clip_id
