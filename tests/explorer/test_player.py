"""What the player is told: ranges inside of the file, times of frames, the crop, and what to draw on the annotated frame."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from explorer.test_subjects import clip
from opens2v_data.sample.barcode import read_frame_number
from opens2v_explorer.media.reader import MediaReader
from opens2v_explorer.player import UNPLAYABLE, VIDEO_STATES, frame_ranges, player_data, range_notes
from opens2v_explorer.states import STATES, StateError
from opens2v_explorer.subjects import frame_size, regions_of

if TYPE_CHECKING:
    import opens2v_data
    from opens2v_data.sample import SampleFacts

ends = st.integers(-2, 12)
ranges = st.one_of(st.none(), st.tuples(ends, ends))


@given(cut=ranges, face_cut=ranges, num_frames=st.integers(0, 12))
@settings(max_examples=100, deadline=None)
def test_ranges_that_can_be_played_lie_in_the_file_and_hold_what_it_has_of_the_records(
    cut: Any, face_cut: Any, num_frames: int
) -> None:
    one = clip(cut=cut, face_cut=face_cut)
    found = frame_ranges(one, num_frames)
    assert found
    assert all(0 <= it["start"] < it["end"] <= max(num_frames, 1) for it in found)
    shown = {it["name"]: range(it["start"], it["end"]) for it in found}
    for name, wanted in (("cut", cut), ("face cut", face_cut)):
        frames = [] if wanted is None else [n for n in range(*wanted) if 0 <= n < num_frames]
        if name in shown:
            assert list(shown[name]) == frames
        else:
            assert not frames or frames == list(shown["cut"])
    told = {note.split(" is frames")[0].removeprefix("The ") for note in range_notes(one, num_frames)}
    assert told == {
        name
        for name, wanted in (("cut", cut), ("face cut", face_cut))
        if wanted is not None and (not range(*wanted) or not {*range(*wanted)} <= {*range(num_frames)})
    }


@pytest.fixture(scope="module")
def media(explorer_catalog: opens2v_data.OpenS2V) -> MediaReader:
    return MediaReader(explorer_catalog)


def data_of(media: MediaReader, clip_id: int, **others: Any) -> dict[str, Any]:
    triple = media.triple(clip_id)
    one = replace(triple.clip, **others)
    size = frame_size(one)
    assert size is not None
    regions = regions_of(triple.subjects, width=size[0], height=size[1])
    return player_data(one, media.facts(clip_id), regions, src="/video", still="/still/FRAME")


def test_times_are_those_of_the_file_which_do_not_start_at_0(media: MediaReader, sample_facts: SampleFacts) -> None:
    by_key = {(one.part, one.key): one for one in sample_facts.clips}
    num_played = 0
    for clip_id in range(len(media.catalog)):
        one = media.clip(clip_id)
        truth = by_key[one.part, one.key]
        if truth.video is None:
            continue
        data = data_of(media, clip_id)
        assert data["times"] == pytest.approx(truth.video.pts_seconds, abs=1e-6)
        assert data["pts0"] == pytest.approx(data["times"][0], abs=1e-6)
        assert data["pts0"] > 0
        assert all(a < b for a, b in pairwise(data["times"]))
        (start, end) = truth.cut
        assert data["ranges"][0] == {"name": "cut", "start": start, "end": min(end, truth.video.num_frames)}
        assert (data["width"], data["height"]) == (truth.video.width, truth.video.height)
        assert data["annotated"] == truth.ann_frame_idx == data["first"]
        x0, y0, x1, y1 = truth.crop_xyxy
        is_whole = (x0, y0, x1, y1) == (0, 0, truth.video.width, truth.video.height)
        assert data["crop"] == (None if is_whole else [x0, y0, x1, y1])
        num_played += 1
    assert num_played > 10


def test_a_frame_that_no_range_holds_is_not_annotated(media: MediaReader) -> None:
    assert data_of(media, 0, ann_frame_idx=10_000)["annotated"] is None
    data = data_of(media, 0, ann_frame_idx=None)
    assert data["annotated"] is None
    assert data["first"] == data["ranges"][0]["start"]


def test_a_crop_is_cut_to_the_frame_or_left_out(media: MediaReader) -> None:
    facts = media.facts(0)
    assert data_of(media, 0, crop_xyxy=(-4, 8, 10_000, 100))["crop"] == [0, 8, facts.width, 100]
    one = replace(media.clip(0), crop_xyxy=(5, 5, 5, 9))
    assert player_data(one, facts, [], src="", still="")["crop"] is None


def test_regions_without_mask_are_drawn_along_their_box(media: MediaReader) -> None:
    triple = media.triple(0)
    bare = [replace(one, mask=None) for one in triple.subjects]
    size = frame_size(triple.clip)
    assert size is not None
    regions = regions_of(bare, width=size[0], height=size[1])
    for drawn, region in zip(
        player_data(triple.clip, media.facts(0), regions, src="", still="")["outlines"], regions, strict=True
    ):
        assert region.box_xyxy is not None
        x0, y0, x1, y1 = region.box_xyxy
        assert drawn["d"] == f"M{x0} {y0}h{x1 - x0}v{y1 - y0}h{x0 - x1}z"
        assert (drawn["number"], drawn["color"]) == (region.number, region.color)


def test_every_state_of_a_video_has_its_words_for_the_player(media: MediaReader) -> None:
    states = data_of(media, 0)["states"]
    assert set(states) == {*VIDEO_STATES, "unplayable"}
    assert all(states[code]["title"] == STATES[code].title for code in VIDEO_STATES)
    assert len({one["title"] for one in states.values()}) == len(states)
    assert all(UNPLAYABLE.values())


def test_a_still_is_that_very_frame_of_the_file(media: MediaReader) -> None:
    facts, one = media.facts(0), media.clip(0)
    assert one.crop_xyxy is not None
    x0, y0, x1, y1 = one.crop_xyxy
    for frame_idx in (0, facts.num_frames - 2, facts.num_frames - 1):
        with Image.open(io.BytesIO(media.still(0, frame_idx))) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert pixels.shape[:2] == (facts.height, facts.width)
        assert read_frame_number(pixels[y0:y1, x0:x1]) == frame_idx
    with pytest.raises(StateError, match="No such frame") as error:
        media.still(0, facts.num_frames)
    assert error.value.state.status == 404
