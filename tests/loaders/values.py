"""A small clip, subject, mask and frame, to be changed with `dataclasses.replace`."""

from __future__ import annotations

import numpy as np

from opens2v_data.triples import Clip, MaskRLE, Subject
from opens2v_loaders.masks import encode_rle

HEIGHT, WIDTH = 48, 64


def a_frame() -> np.ndarray:
    """Return noise: `(48, 64, 3) uint8 RGB`."""
    return np.random.default_rng(0).integers(1, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def a_mask(inside: np.ndarray) -> MaskRLE:
    """Return a mask as run lengths."""
    height, width = inside.shape
    return MaskRLE(height=height, width=width, counts=encode_rle(inside), score=0.9, frame_idx=0)


def a_subject() -> Subject:
    """Return a subject whose mask and box are the pixels (8, 10, 24, 30)."""
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[10:30, 8:24] = True
    return Subject(
        object_id=1,
        class_name="dog",
        bbox_xyxy=(8.2, 10.4, 23.9, 29.5),
        gme_score=0.5,
        aes_score=4.5,
        mask=a_mask(inside),
    )


def a_clip() -> Clip:
    """Return a clip of 30 frames of 64x48."""
    return Clip(
        clip_id=0,
        key="a_clip",
        part="part1",
        cluster_id="a",
        caption="A dog.",
        fps=30.0,
        num_frames=30,
        width=WIDTH,
        height=HEIGHT,
        cut=(0, 30),
        face_cut=None,
        crop_xyxy=None,
        ann_frame_idx=0,
        aesthetic=5.0,
        motion=0.1,
        tech=None,
        tags={},
        video=None,
        background_path=None,
    )
