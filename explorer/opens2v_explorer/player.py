"""The clip player: what it is told, and the component that plays.

The browser plays the file from its start; which frames belong to the clip, when each is on the screen, and which one boxes and
masks belong to, it is told here. Masks are drawn on the annotated frame only, in the pixels of the cropped frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from streamlit.components.v2 import component

from opens2v_explorer.stage import static_text
from opens2v_explorer.states import STATES

if TYPE_CHECKING:
    from opens2v_data.triples import Clip
    from opens2v_explorer.media.clipfacts import ClipFacts
    from opens2v_explorer.subjects import Region

VIDEO_STATES = ("not-in-release", "not-here", "unreachable", "corrupt", "truncated", "refused")

UNPLAYABLE = {
    "title": "This browser does not play it",
    "detail": "The file decodes here, but the browser has no decoder for it.",
    "advice": "Try another browser; the frame below is decoded by the explorer.",
}


def frame_ranges(clip: Clip, num_frames: int) -> list[dict[str, Any]]:
    """Return the half-open ranges that can be played, the cut first: `name`, `start`, `end` in frames, cut to the file.

    A range of which the file has nothing is left out; without any, the whole file is one.
    """
    found = []
    for name, one in (("cut", clip.cut), ("face cut", clip.face_cut)):
        if one is None:
            continue
        start, end = max(one[0], 0), min(one[1], num_frames)
        if start < end:
            found.append({"name": name, "start": start, "end": end})
    if len(found) == 2 and found[0] | {"name": ""} == found[1] | {"name": ""}:
        del found[1]
    return found or [{"name": "file", "start": 0, "end": max(num_frames, 1)}]


def range_notes(clip: Clip, num_frames: int) -> list[str]:
    """Return in words where the record's ranges leave the file."""
    return [
        f"The {name} is frames {one[0]} to {one[1] - 1}, but the file has {num_frames} frames."
        for name, one in (("cut", clip.cut), ("face cut", clip.face_cut))
        if one is not None and (one[0] < 0 or one[1] > num_frames or one[0] >= one[1])
    ]


def player_data(clip: Clip, facts: ClipFacts, regions: Sequence[Region], *, src: str, still: str) -> dict[str, Any]:
    """Return what the player is told of a clip.

    Args:
        clip: the row.
        facts: of its file.
        regions: of its annotated frame.
        src: address of the mp4.
        still: address of one of its frames, with FRAME for the number.
    """
    num_frames = min(facts.num_frames, facts.num_frames_intact or facts.num_frames)
    ranges = frame_ranges(clip, num_frames)
    annotated = clip.ann_frame_idx
    is_inside = annotated is not None and any(one["start"] <= annotated < one["end"] for one in ranges)
    crop = clip.crop_xyxy
    if crop is not None:
        crop = (max(crop[0], 0), max(crop[1], 0), min(crop[2], facts.width), min(crop[3], facts.height))
    if crop == (0, 0, facts.width, facts.height) or (crop and not (crop[0] < crop[2] and crop[1] < crop[3])):
        crop = None
    return {
        "src": src,
        "still": still,
        "label": f"Player of clip {clip.key}",
        "fps": facts.fps,
        "pts0": facts.pts0_seconds,
        "times": list(facts.pts_seconds),
        "width": facts.width,
        "height": facts.height,
        "ranges": ranges,
        "crop": None if crop is None else list(crop),
        "annotated": annotated if is_inside else None,
        "first": annotated if is_inside else ranges[0]["start"],
        "outlines": [outline(region) for region in regions if region.box_xyxy is not None],
        "states": {code: STATES[code].as_json() for code in VIDEO_STATES} | {"unplayable": UNPLAYABLE},
    }


def outline(region: Region) -> dict[str, Any]:
    """Return how a region is drawn: along its mask, else along its box; pixels of the cropped frame."""
    assert region.box_xyxy is not None and region.anchor_xy is not None
    x0, y0, x1, y1 = region.box_xyxy
    return {
        "number": region.number,
        "color": region.color,
        "dash": region.dash,
        "d": region.path or f"M{x0} {y0}h{x1 - x0}v{y1 - y0}h{x0 - x1}z",
        "x": region.anchor_xy[0],
        "y": region.anchor_xy[1],
    }


@cache
def _component() -> Any:
    return component(
        "opens2v_player",
        html=static_text("player.html"),
        css=static_text("player.css"),
        js="\n".join(static_text(name) for name in ("lasting.js", "player_drawing.js", "player.js")),
    )


def show_player(data: dict[str, Any], *, key: str) -> None:
    """Put a player on the page.

    Args:
        data: see `player_data`.
        key: of the element, unique on the page.
    """
    _component()(data=data, key=key)
