"""Areas and places of masks, told from run lengths, against pycocotools and the pixels themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from opens2v_data.catalog.catalog import Catalog
from opens2v_data.query import Query
from opens2v_data.query.maskfacts import FAR_IOU, SCHEMA, TINY_RATIO, mask_extents, measure_masks
from opens2v_data.release.records import MaskRecord
from query.faulty import PLACES, Made, box_of, iou_of, made_of, pixels_of

# pycocotools 2.0 with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module", params=PLACES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made_of(request.param, request, tmp_path_factory.mktemp(request.param))


def bbox_of(pixels: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(pixels)
    return (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1) if len(xs) else (0, 0, 0, 0)


def as_record(pixels: np.ndarray) -> MaskRecord:
    encoded: Any = coco.encode(np.asfortranarray(pixels, np.uint8))
    height, width = pixels.shape
    return MaskRecord(0, 1, height, width, None, encoded["counts"].decode())


@st.composite
def pictures(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    seed, share = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.0, 0.01, 0.3, 0.9, 1.0]))
    return np.random.default_rng(seed).random((height, width)) < share


@settings(max_examples=60, deadline=None)
@given(some=st.lists(pictures(), max_size=8), at_once=st.sampled_from([1, 30, 10**6]))
def test_areas_and_boxes_of_masks_are_those_of_their_pixels(some: list[np.ndarray], at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opens2v_data.query.maskfacts.CHARACTERS_AT_ONCE", at_once)
        found = mask_extents([as_record(pixels) for pixels in some])
    assert found.is_readable.all()
    assert found.areas.tolist() == [int(pixels.sum()) for pixels in some]
    assert [tuple(box) for box in found.boxes.tolist()] == [bbox_of(pixels) for pixels in some]


@settings(max_examples=60, deadline=None)
@given(
    pixels=pictures(),
    harm=st.sampled_from(["cut", "size", "alphabet", "long", "foreign", "none"]),
    at=st.integers(0, 10**6),
)
def test_a_damaged_mask_is_told_and_harms_no_other(pixels: np.ndarray, harm: str, at: int) -> None:
    good = as_record(pixels)
    counts, height = good.counts, good.height
    if harm == "cut":
        counts = f"{counts}{chr(48 + 0x20)}"  # a character that says that more follow, and nothing does
    elif harm == "size":
        height += 1
    elif harm in ("alphabet", "foreign"):
        place = at % (len(counts) + 1)
        counts = counts[:place] + ("!" if harm == "alphabet" else "é") + counts[place:]
    elif harm == "long":
        counts = chr(48 + 0x3F) * 20 + counts
    elif harm == "none":
        counts = ""
    bad = MaskRecord(0, 1, height, good.width, None, counts)
    found = mask_extents([good, bad, good])
    assert found.is_readable.tolist() == [True, False, True]
    assert found.areas.tolist() == [pixels.sum(), 0, pixels.sum()]
    assert [tuple(box) for box in found.boxes.tolist()] == [bbox_of(pixels), (0, 0, 0, 0), bbox_of(pixels)]


def test_the_masks_of_clips_are_measured_against_their_boxes(made: Made) -> None:
    catalog = made.query.catalog
    frames = {row["clip_id"]: row["ann_frame_idx"] for row in made.rows("clips")}
    masks = {
        (clip_id, mask.object_id): mask
        for clip_id, found in catalog.read_masks(frames).items()
        for mask in found
        if mask.frame_idx == frames[clip_id]
    }
    table = measure_masks(made.query, [*frames, 10**6])
    assert table.schema.equals(SCHEMA)
    rows = {(row["clip_id"], row["object_id"]): row for row in table.to_pylist()}
    assert list(rows) == sorted(rows) and len(rows) == table.num_rows
    boxed = {(row["clip_id"], row["object_id"]): row for row in made.subjects() if row["has_mask"]}
    assert rows.keys() == boxed.keys()
    for place, row in rows.items():
        pixels = pixels_of(masks[place])
        area = int(pixels.sum())
        assert (row["area"], row["is_empty"]) == (area, area == 0)
        assert row["area_ratio"] == area / pixels.size
        assert row["is_tiny"] == (0 < area < TINY_RATIO * pixels.size)
        edges = tuple(row[f"mask_{edge}"] for edge in ("x1", "y1", "x2", "y2"))
        assert edges == (bbox_of(pixels) if area else (None,) * 4)
        expected = iou_of(tuple(map(float, bbox_of(pixels))), box_of(boxed[place])) if area else None  # type: ignore[arg-type]
        assert row["box_iou"] == (None if expected is None else pytest.approx(expected, abs=1e-12))
        assert row["is_far"] == (None if expected is None else expected < FAR_IOU)


def test_no_clips_have_no_masks_to_measure(made: Made) -> None:
    assert measure_masks(made.query, []).num_rows == 0
    assert measure_masks(made.query, [10**6]).schema.equals(SCHEMA)


def test_the_real_grassy_area_is_far_from_its_box(real_catalog: Path) -> None:
    table = measure_masks(Query(Catalog.open(real_catalog)), range(3))
    far = [row for row in table.to_pylist() if row["is_far"]]
    assert {row["class_name"] for row in far} == {"grassy area"} and len(far) == 3
    assert all(round(row["box_iou"], 2) == 0.15 for row in far)
