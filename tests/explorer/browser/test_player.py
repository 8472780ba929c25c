"""The player in a browser: which frame is on the screen is read from its pixels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from explorer.browser.watching import READ_CODE, Watched, barcode, frame_seen

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from opens2v_data.sample import SampleFacts
    from opens2v_data.sample.facts import ClipFacts

TWO_ROUNDS = """(player) => new Promise((resolve) => {
  const video = player.querySelector("video");
  const seen = [];
  let rounds = 0;
  let before = -1;
  let furthest = 0;
  const measure = () => {
    const picture = new VideoFrame(video);
    furthest = Math.max(furthest, picture.timestamp / 1e6);
    picture.close();
    video.requestVideoFrameCallback(measure);
  };
  video.requestVideoFrameCallback(measure);
  video.addEventListener("ended", () => (furthest = video.duration));
  const observer = new MutationObserver(() => {
    const frame = Number(player.dataset.frame);
    if (frame < before) rounds += 1;
    if (frame !== before) seen.push({ frame, grey: (READ_CODE)(player, LEFT_TOP) });
    before = frame;
    if (rounds < 2) return;
    observer.disconnect();
    resolve({ seen, furthest });
  });
  observer.observe(player, { attributeFilter: ["data-frame"] });
})"""
"""What a player shows until it has begun anew twice: numbers of frames, their pixels, and the second its video came to."""


@pytest.fixture(scope="module")
def clips(sample_facts: SampleFacts) -> dict[str, ClipFacts]:
    """The truth of the sample's clips by what a test wants of them."""
    by_key = {clip.key: clip for clip in sample_facts.clips}

    def one(start: str, **wanted: object) -> ClipFacts:
        (found, *_) = (
            clip
            for key, clip in by_key.items()
            if key.startswith(start) and all(getattr(clip, name) == value for name, value in wanted.items())
        )
        return found

    return {
        "sound": one("8fKq2vWd3Lc_segment1"),
        "cropped": one("gm1340027713-420195582_part2"),
        "uneven": one("gm998214402-269903117_part1"),
        "before": one("Zr4mT7xNp0s_segment5", cut=(0, 48)),
        "after": one("Zr4mT7xNp0s_segment5", cut=(52, 121)),
    }


def shows(player: Locator, n: int) -> Locator:
    """Return the player once it says that it shows a frame."""
    return player.and_(player.page.locator(f"[data-frame='{n}']"))


def open_clip(seen: Watched, clip: ClipFacts) -> tuple[Page, Locator]:
    page = seen.open(f"/clip?key={clip.part}/{clip.key}")
    player = page.get_by_test_id("player")
    player.and_(page.locator("[data-frame]")).wait_for()
    return page, player


def test_the_annotated_frame_shows_its_outlines_though_the_film_starts_after_0_s(
    seen: Watched, clips: dict[str, ClipFacts]
) -> None:
    clip = clips["sound"]
    assert clip.video is not None and clip.video.pts_seconds[0] > 0 and clip.ann_frame_idx == 0
    page, player = open_clip(seen, clip)
    shows(player, 0).wait_for()
    overlay = page.get_by_test_id("overlay")
    assert overlay.is_visible()
    assert overlay.locator("path[data-region]").count() > 1
    assert frame_seen(player, clip.crop_xyxy) == 0
    player.focus()
    page.keyboard.press(".")
    shows(player, 1).wait_for()
    assert overlay.is_hidden()
    assert frame_seen(player, clip.crop_xyxy) == 1
    page.keyboard.press("a")
    shows(player, 0).wait_for()
    assert overlay.is_visible()


@pytest.mark.parametrize("name", ["sound", "cropped", "uneven", "after"])
def test_steps_show_exact_frames(seen: Watched, clips: dict[str, ClipFacts], name: str) -> None:
    clip = clips[name]
    page, player = open_clip(seen, clip)
    first, end = clip.cut
    player.focus()
    at = clip.ann_frame_idx
    assert frame_seen(player, clip.crop_xyxy) == at
    keys = [("Home", first), (",", first), (".", first + 1), ("ArrowRight", first + 2)]
    keys += [("End", end - 1), (".", end - 1), (",", end - 2), ("ArrowLeft", end - 3)]
    for key, wanted in keys:
        page.keyboard.press(key)
        shows(player, wanted).wait_for()
        assert frame_seen(player, clip.crop_xyxy) == wanted, f"after {key}"
        assert (
            page.get_by_test_id("readout")
            .inner_text()
            .startswith(f"frame {wanted} ({wanted - first + 1} of {end - first}")
        )
    seek = page.get_by_test_id("seek")
    for wanted in (end - 9, first + 17):
        seek.fill(str(wanted))
        shows(player, wanted).wait_for()
        assert frame_seen(player, clip.crop_xyxy) == wanted


@pytest.mark.parametrize("name", ["before", "after"])
def test_playback_stays_inside_of_the_cut(seen: Watched, clips: dict[str, ClipFacts], name: str) -> None:
    clip = clips[name]
    first, end = clip.cut
    page, player = open_clip(seen, clip)
    player.locator("[data-do='speed']").select_option("2")
    page.get_by_test_id("play").click()
    script = TWO_ROUNDS.replace("READ_CODE", READ_CODE).replace("LEFT_TOP", json.dumps(clip.crop_xyxy[:2]))
    found = player.evaluate(script)
    frames = [barcode(one["grey"]) for one in found["seen"]]
    assert frames == [one["frame"] for one in found["seen"]]
    # Each round begins with the first frame; a busy machine leaves out others, and goes to the end all the same.
    assert min(frames) == first and max(frames) < end
    assert clip.video is not None and found["furthest"] >= clip.video.pts_seconds[end - 1] - 1e-3
    assert player.locator("video").evaluate("video => video.playbackRate") == 2
    page.get_by_test_id("play").click()
    player.and_(page.locator("[data-playing='false']")).wait_for()
