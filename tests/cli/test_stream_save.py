"""`opens2v stream --save`: exactly the files that opens2v_loaders/saving.py draws."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import opens2v_data
from opens2v_loaders.saving import safe_name

if TYPE_CHECKING:
    from cli.conftest import Run
    from opens2v_data.sample import ClipFacts, SampleFacts, SubjectFacts


def folder_of(clip: ClipFacts) -> str:
    """Return the name of a clip's folder."""
    return safe_name(f"{clip.part}--{clip.key}")


def cut_outs(clip: ClipFacts, only: int | None = None) -> set[str]:
    """Return the names of the cut-outs that a clip's facts give."""
    return {
        f"subjects/{subject.object_id:02d}_{subject.class_name.replace(' ', '_')}{suffix}.png"
        for subject in clip.subjects
        if (suffix := _suffix(clip, subject)) is not None and only in (None, subject.object_id)
    }


def _suffix(clip: ClipFacts, subject: SubjectFacts) -> str | None:
    width, height = clip.cropped_size
    if subject.mask_area and subject.mask_size == (height, width):
        return ""
    return None if subject.bbox_xyxy is None else "_box"


def files_below(root: Path) -> set[str]:
    """Return all files' paths."""
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


PLAIN = {"clip.mp4", "caption.txt", "frame.png", "outlines.png"}


def test_clips_are_saved_as_drawn(opens2v: Run, sample_catalog: Path, sample_facts: SampleFacts) -> None:
    shown = opens2v("stream", sample_catalog, "--save", "out")
    assert (shown.code, shown.out) == (0, "")
    saved = [clip for clip in sample_facts.clips if clip.video is not None]
    absent = [clip for clip in sample_facts.clips if clip.video is None]
    expected = {f"{folder_of(clip)}/{name}" for clip in saved for name in PLAIN | {"row.json"} | cut_outs(clip)}
    expected |= {f"{folder_of(clip)}/caption.txt" for clip in absent}
    assert files_below(Path("out")) == expected
    for clip in saved:
        folder = Path("out") / folder_of(clip)
        assert clip.video is not None
        assert hashlib.sha256((folder / "clip.mp4").read_bytes()).hexdigest() == clip.video.sha256
        assert (folder / "caption.txt").read_text(encoding="utf-8") == clip.caption + "\n"
    rows = [json.loads((Path("out") / folder_of(clip) / "row.json").read_text(encoding="utf-8")) for clip in saved]
    assert rows == [row for row in opens2v_data.open(sample_catalog).rows() if row["video_path"]]
    # Planned = saved + skipped, and each skipped row says why.
    assert shown.err.endswith(f"{len(sample_facts.clips)} rows = {len(saved)} saved + {len(absent)} skipped, in out\n")
    for clip in absent:
        assert f"{folder_of(clip)}: no video: the release has no bytes for this clip\n" in shown.err


def test_a_rerun_leaves_what_is_there(opens2v: Run, sample_catalog: Path) -> None:
    options = ("stream", sample_catalog, "--save", "out", "--limit", 2)
    assert opens2v(*options).code == 0
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")}
    # It does not need the bytes a second time either.
    shown = opens2v(*options, "--release", "gone")
    assert (shown.code, shown.err) == (0, "2 rows = 2 saved + 0 skipped, in out\n")
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")} == before


def test_views_are_saved_beside_the_clip(
    opens2v: Run, sample_catalog: Path, sample_release: Path, sample_facts: SampleFacts
) -> None:
    assert opens2v("stream", sample_catalog, "--save", "out", "--config", "nexus-gpt", "--quiet").code == 0
    expected: set[str] = set()
    for key in {view.clip_key for view in sample_facts.views}:
        clip = sample_facts.clip(key)
        names = PLAIN | {"row.json"} | cut_outs(clip)
        for view in sample_facts.views:
            if view.clip_key == key:
                name = f"views/{view.view_idx}_{view.class_name.replace(' ', '_')}.png"
                saved = Path("out") / folder_of(clip) / name
                assert saved.read_bytes() == (sample_release / view.path).read_bytes()
                names.add(name)
        expected |= {f"{folder_of(clip)}/{name}" for name in names}
    assert files_below(Path("out")) == expected


def test_pairs_are_saved_with_both_sides_and_only_the_pairs_subjects(
    opens2v: Run, sample_catalog: Path, sample_facts: SampleFacts
) -> None:
    rows = list(opens2v_data.open(sample_catalog).rows(config="nexus-cross"))
    older = next(row["pair_id"] for row in rows if row["object_id"] is None)
    assert opens2v("stream", sample_catalog, "--save", "out", "--config", "nexus-cross", "--limit", 1).code == 0
    where = f"pair_id = {older}"
    assert opens2v("stream", sample_catalog, "--save", "out", "--config", "nexus-cross", "--where", where).code == 0
    expected: set[str] = set()
    for row in (rows[0], rows[older]):
        names = {"row.json"}
        for side, object_id in (("clip", row["object_id"]), ("partner", row["partner_object_id"])):
            clip = sample_facts.clip(row[side]["clip_key"])
            names |= {f"{side}/{name}" for name in PLAIN | cut_outs(clip, only=object_id)}
        expected |= {f"pair-{row['pair_id']:08d}/{name}" for name in names}
    assert files_below(Path("out")) == expected


def test_json_says_of_each_row_what_became_of_it(opens2v: Run, sample_catalog: Path, sample_facts: SampleFacts) -> None:
    clips = [sample_facts.clips[0], sample_facts.clip_with("absent_video")]
    where = " OR ".join(f"clip_key = '{clip.key}'" for clip in clips)
    shown = opens2v("stream", sample_catalog, "--save", "out", "--json", "--where", where, "--quiet")
    assert (shown.code, shown.err) == (0, "")
    assert [json.loads(line) for line in shown.out.splitlines()] == [
        {"folder": f"out/{folder_of(clips[0])}", "saved": True, "notes": []},
        {
            "folder": f"out/{folder_of(clips[1])}",
            "saved": False,
            "notes": ["no video: the release has no bytes for this clip"],
        },
    ]


def test_without_the_release_every_row_is_skipped_and_says_so(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("stream", sample_catalog, "--save", "out", "--limit", 2, "--release", "gone")
    assert (shown.code, shown.out) == (1, "")
    assert shown.err.count("no video: expected the release at gone, found no folder") == 2
    assert shown.err.endswith("2 rows = 0 saved + 2 skipped, in out\n")


def test_a_folder_that_cannot_be_made_is_an_error_and_no_traceback(opens2v: Run, sample_catalog: Path) -> None:
    Path("out").write_text("a file")
    shown = opens2v("stream", sample_catalog, "--save", "out", "--limit", 1)
    assert shown.code == 2 and "expected a folder, found a file at 'out'" in shown.err


def test_the_install_command_is_shown_when_the_loaders_are_not_there(
    opens2v: Run, sample_catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opens2v_loaders", None)
    for command in (("stream", sample_catalog, "--save", "out"), ("contact-sheet", sample_catalog)):
        shown = opens2v(*command)
        assert shown.code == 1 and 'pip install "opens2v-data[video]"' in shown.err
