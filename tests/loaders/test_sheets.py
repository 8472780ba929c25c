"""Contact sheets: whole, with every piece missing in turn, and of the real sample."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from loaders import clips, real_sample
from loaders.values import a_clip, a_subject
from opens2v_data.triples import Pair, Triple, View
from opens2v_loaders.layout import elided, text_width, wrapped
from opens2v_loaders.sheets import PairItem, TripleItem, ViewItem, contact_sheet

if TYPE_CHECKING:
    from pathlib import Path

_VIEW = View(view_idx=0, class_name="dog", object_id=1, path="GPT-Frames/a/0_dog.png", source_path=None)


def _triple() -> Triple:
    return Triple(clip=a_clip(), subjects=(a_subject(), replace(a_subject(), object_id=2, mask=None)))


def _pair(triple: Triple, left: int | None = 1, right: int | None = 2) -> Pair:
    return Pair(
        left=triple,
        right=triple,
        left_object_id=left,
        right_object_id=right,
        left_class_name="dog",
        right_class_name="dog",
        text_similarity=None,
        image_similarity=0.999,
    )


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (30, 40), (10, 200, 30, 128)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_sheet_shows_a_triple_a_pair_and_a_view_and_is_saved(tmp_path: Path) -> None:
    data = clips.clip_bytes("open GOP")
    path = tmp_path / "sheet.png"
    sheet = contact_sheet(
        [
            TripleItem(triple=_triple(), video_bytes=data),
            PairItem(pair=_pair(_triple()), left_bytes=data, right_bytes=data),
            ViewItem(triple=_triple(), view=_VIEW, png_bytes=_png(), video_bytes=data),
        ],
        path=path,
        width=1000,
    )
    assert sheet.width == 1000 and sheet.mode == "RGB"
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(sheet))


def _odd_triples() -> dict[str, Triple]:
    whole, clip, subject = _triple(), a_clip(), a_subject()
    return {
        "no subjects": replace(whole, subjects=()),
        "a box beside the frame": replace(whole, subjects=(replace(subject, mask=None, bbox_xyxy=(99.0, 0, 120, 9)),)),
        "a crop beside the frame": replace(whole, clip=replace(clip, crop_xyxy=(900, 0, 950, 10))),
        "an inverted crop": replace(whole, clip=replace(clip, crop_xyxy=(10, 0, 5, 10))),
        "no annotated frame": replace(whole, clip=replace(clip, ann_frame_idx=None)),
        "no ranges": replace(whole, clip=replace(clip, cut=None, num_frames=None)),
        "an empty range": replace(whole, clip=replace(clip, face_cut=(7, 7))),
        "a range past the end": replace(whole, clip=replace(clip, face_cut=(5, 500))),
        "a one-frame range": replace(whole, clip=replace(clip, face_cut=(5, 6))),
        "words no font takes": replace(whole, clip=replace(clip, caption="a\ud83d b\n\n" + "x" * 900, key="k" * 300)),
        "no words at all": replace(whole, clip=replace(clip, caption="", key="")),
    }


@pytest.mark.parametrize("name", _odd_triples())
def test_odd_triples_get_a_box_with_the_reason(name: str) -> None:
    triple, data = _odd_triples()[name], clips.clip_bytes("open GOP")
    items = [
        TripleItem(triple=triple, video_bytes=data),
        PairItem(pair=_pair(triple), left_bytes=data, right_bytes=data),
        ViewItem(triple=triple, view=_VIEW, png_bytes=_png(), video_bytes=data),
    ]
    assert contact_sheet(items, width=800).width == 800


@pytest.mark.parametrize(
    "data", [None, b"", b"junk", clips.clip_bytes("open GOP")[:3000]], ids=["none", "empty", "junk", "cut"]
)
def test_missing_and_broken_bytes_get_a_box_with_the_reason(data: bytes | None) -> None:
    items = [
        TripleItem(triple=_triple(), video_bytes=data),
        PairItem(pair=_pair(_triple(), left=None, right=99), left_bytes=data),
        ViewItem(triple=_triple(), view=replace(_VIEW, object_id=None), png_bytes=data, video_bytes=data),
    ]
    assert contact_sheet(items, width=800).width == 800


def test_an_empty_sheet_says_so() -> None:
    assert contact_sheet([]).width == 1600


def test_a_sheet_has_a_least_width() -> None:
    with pytest.raises(ValueError, match="800 or more pixels, not 100"):
        contact_sheet([], width=100)


def test_lines_never_get_wider_than_asked_for() -> None:
    text = "some words of a caption and averyveryverylongwordthatfitsnowhere in it " * 4
    lines = wrapped(text, 16, 200, 5)
    assert len(lines) == 5 and all(text_width(line, 16) <= 200 for line in lines) and lines[-1].endswith("…")
    assert text_width(elided(text, 16, 120), 16) <= 120


@real_sample.needs_real_sample
def test_the_real_sample_makes_a_sheet() -> None:
    (triple,) = real_sample.triples()
    data = real_sample.video_bytes()
    views = [
        ViewItem(triple=triple, view=view, png_bytes=(real_sample.FOLDER / view.path).read_bytes(), video_bytes=data)
        for view in triple.views
    ]
    assert len(views) == 3
    assert contact_sheet([TripleItem(triple=triple, video_bytes=data), *views]).height > 1500
