"""The annotated frame and the plate come to the frames' size as the frames do; what is no plate makes its clip bad."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from loaders.clips import HEIGHT, WIDTH, clip_bytes
from loaders.rowsource import MASK_BOX, FakeCatalog
from loaders.test_loader import loader_of
from opens2v_data.errors import DecodeError
from opens2v_loaders.frames import read_frames
from opens2v_loaders.sampling import ClipSpec, Fit
from opens2v_loaders.scenes import background_plate, fitted
from opens2v_loaders.subjects import SubjectSpec

SCENE = SubjectSpec(size=(16, 16), scene=True)


class WithPlates(FakeCatalog):
    """Rows whose plate is their annotated frame; row 1 has none, and row 2's is no picture."""

    def _row(self, row: int, config: str) -> dict[str, Any]:
        return super()._row(row, config) | {"background_path": None if row == 1 else f"{row}.plate"}

    def read_file(self, path: str) -> bytes:
        """Return a plate."""
        if path == "2.plate":
            return b"no picture"
        file = io.BytesIO()
        Image.fromarray(read_frames(clip_bytes("B-frames"), [4]).rgb[0]).save(file, "png")
        return file.getvalue()


@pytest.mark.parametrize("crop", ["center", "random", "none"])
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (24, 24), (20, 40)])
def test_frame_and_plate_lie_over_the_frames(crop: Any, size: tuple[int, int]) -> None:
    # One frame, the annotated one.
    lengths = dict.fromkeys(range(4), 5)
    clip = ClipSpec(num_frames=5, stride=1, sampling="head", size=size, crop=crop)
    loader = loader_of(WithPlates(num_rows=2, lengths=lengths), clip=clip, subjects=SCENE, batch_size=2)
    (batch,) = loader
    place = batch.rows.tolist().index(0)
    assert batch.frame_indices[place].tolist()[-1] == 4
    assert batch.foregrounds.offsets.tolist() == [0, 1, 2]
    for index, video in enumerate(batch.videos):
        assert torch.equal(batch.foregrounds.images[index], video[4])
    assert np.diff(batch.backgrounds.offsets).tolist() == [int(row == 0) for row in batch.rows.tolist()]
    assert torch.equal(batch.backgrounds.images[0], batch.videos[place, 4])
    assert (batch.foregrounds.names[0], batch.backgrounds.names) == ("foreground", ("background",))


@pytest.mark.parametrize(("size", "crop"), [((HEIGHT, WIDTH), "none"), ((24, 24), "random"), ((20, 40), "center")])
def test_masks_of_a_batch_lie_over_the_frames(size: tuple[int, int], crop: Any) -> None:
    clip = ClipSpec(num_frames=2, size=size, crop=crop)
    subjects = SubjectSpec(policy="all", size=(16, 16))
    (batch,) = loader_of(FakeCatalog(num_rows=4, num_subjects=2), clip=clip, subjects=subjects)
    masks = batch.subject_masks()
    assert (masks.shape, masks.dtype, len(batch.fits)) == ((8, *size), torch.bool, 4)
    inside = torch.zeros((1, 1, HEIGHT, WIDTH))
    inside[..., MASK_BOX[1] : MASK_BOX[3], MASK_BOX[0] : MASK_BOX[2]] = 1
    for number, mask in enumerate(masks):
        fit = batch.fits[number // 2]
        left, top, right, bottom = fit.box_xyxy
        exact = torch.nn.functional.interpolate(inside, size=fit.resize, mode="bilinear", antialias=True)
        share = exact[0, 0, top:bottom, left:right]
        assert ((share >= 0.5) == mask)[(share - 0.5).abs() > 1 / 128].all()
    (bare,) = loader_of(FakeCatalog(num_rows=4), clip=clip)
    assert bare.subject_masks().shape == (0, *size)


def test_a_plate_that_is_no_picture_makes_the_clip_bad_and_a_missing_one_does_not() -> None:
    loader = loader_of(WithPlates(num_rows=4), subjects=SCENE, on_bad="skip")
    (batch,) = loader
    assert sorted(batch.rows.tolist()) == [0, 1, 3]
    (bad,) = loader.bad_clips
    assert (bad.row, bad.stage) == (2, "decode")
    assert bad.reason.startswith("background plate 2.plate: expected a picture that Pillow reads, found 10 other bytes")
    with pytest.raises(DecodeError, match="found 0 other bytes"):
        background_plate(b"")


def test_without_being_asked_for_there_is_no_scene() -> None:
    (batch,) = loader_of(WithPlates(num_rows=4), subjects=SubjectSpec(size=(16, 16)))
    assert len(batch.foregrounds) == len(batch.backgrounds) == 0
    assert batch.backgrounds.images.shape == (0, 3, HEIGHT, WIDTH)


def test_a_plate_of_another_size_shows_the_same_place() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (10, 20, 3)).astype(np.uint8)
    twice = picture.repeat(2, axis=0).repeat(2, axis=1)
    fit = Fit(resize=(10, 20), box_xyxy=(3, 0, 13, 10))
    assert np.array_equal(fitted(picture, fit), picture[:, 3:13].transpose(2, 0, 1))
    # Antialiasing mixes neighbours, so the two are near and not the same.
    assert fitted(twice, fit).shape == (3, 10, 10)


def test_a_batch_moves_with_its_pictures_and_keeps_its_numbers() -> None:
    (batch,) = loader_of(WithPlates(num_rows=4), subjects=SCENE, on_bad="skip")
    moved = batch.to("meta")
    for tensor in (moved.videos, *(getattr(moved, name).images for name in ("subjects", "foregrounds", "backgrounds"))):
        assert tensor.device.type == "meta"
    assert moved.subjects.boxes_xyxy.device.type == "meta"
    assert moved.subjects.offsets.tolist() == batch.subjects.offsets.tolist()
    assert moved.rows.tolist() == batch.rows.tolist()
    assert torch.equal(batch.to("cpu", non_blocking=True).videos, batch.videos)
