"""Write the whole sample release."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opens2v_data.sample.brush import import_pillow
from opens2v_data.sample.cast import FLAT_PART, NESTED_PART, VIDEOS
from opens2v_data.sample.facts import ClipFacts, SampleFacts, VideoFacts, ViewFacts
from opens2v_data.sample.film import Stage, Video
from opens2v_data.sample.mp4 import Mp4, encode, import_av
from opens2v_data.sample.pairs import find_pairs, write_pairs
from opens2v_data.sample.records import clip_facts, dump_records, upstream_record
from opens2v_data.sample.story import (
    DUPLICATE_CAPTION,
    TAKES,
    UNLOADABLE_PART,
    UNLOADABLE_STEM,
    Take,
    clip_key,
)
from opens2v_data.sample.tarball import Tar, build_tar, choose_piece_size, write_pieces
from opens2v_data.sample.views import write_png, write_views

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

PARTS = (NESTED_PART, FLAT_PART)
JSON_SET = "mask_and_bbox_High-Quality"
JSON_INDENT = {NESTED_PART: 4, FLAT_PART: None}
SMALLEST_PIECE_BYTES = {NESTED_PART: 150_001, FLAT_PART: 110_003}


def write_sample_release(root: str | Path, *, seed: int = 0, progress: Progress | None = None) -> SampleFacts:
    """Write a small release that is laid out exactly like OpenS2V-5M.

    Two calls with the same seed, on the same versions of PyAV and Pillow, write the same bytes. The folder appears only
    when all is written.

    Args:
        root: the folder to make; it may exist if it is empty.
        seed: moves clouds and hills, and varies boxes and scores; who does what, and every quirk, stays.
        progress: called as `progress("encode", done, total)` and so on.

    Returns:
        What the release holds: the truth to test against.

    Raises:
        MissingExtraError: PyAV or Pillow is not installed.
        ValueError: `root` holds something already.
    """
    import_av()
    import_pillow()
    root = Path(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ValueError(
            f"expected a new or an empty folder for the sample release, found something at {root}; give another"
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as scratch:
        draft = Path(scratch) / "release"
        draft.mkdir()
        facts = _write(draft, root, seed, progress or (lambda what, done, total: None))
        if root.exists():
            root.rmdir()
        draft.rename(root)
    return facts


def _write(draft: Path, root: Path, seed: int, progress: Progress) -> SampleFacts:
    stages: dict[int, Stage] = {}
    mp4s: dict[int, Mp4] = {}
    for done, video in enumerate(VIDEOS):
        progress("encode", done, len(VIDEOS))
        stages[video.number] = Stage(video=video, seed=seed)
        if video.in_tar:
            mp4s[video.number] = encode(stages[video.number])
    progress("encode", len(VIDEOS), len(VIDEOS))

    tars: dict[str, Tar] = {}
    piece_sizes: dict[str, int] = {}
    for part in PARTS:
        tars[part] = build_tar([(v.member, mp4s[v.number].data) for v in VIDEOS if v.part == part and v.in_tar])
        piece_sizes[part] = choose_piece_size(tars[part], at_least=SMALLEST_PIECE_BYTES[part])
        write_pieces(tars[part], draft / "Videos" / part, name=part, piece_size=piece_sizes[part])
    named = {take.video for take in TAKES}
    videos = {n: _video_facts(stages[n].video, mp4, tars, is_named=n in named) for n, mp4 in mp4s.items()}

    told: list[tuple[Take, Video, ClipFacts]] = []
    views: list[ViewFacts] = []
    for done, take in enumerate(TAKES):
        progress("annotate", done, len(TAKES))
        stage = stages[take.video]
        background = _write_background(draft, take, stage) if take.background else None
        clip = clip_facts(take, stage, video_facts=videos.get(take.video), background_path=background, seed=seed)
        told.append((take, stage.video, clip))
        if take.views:
            views.extend(write_views(draft, take, stage, clip))
    progress("annotate", len(TAKES), len(TAKES))

    told.sort(key=lambda entry: PARTS.index(entry[2].part))
    clips = tuple(clip for _, _, clip in told)
    duplicate = next(clip for clip in clips if clip.quirk == "duplicate_key")
    for part in PARTS:
        _write_json(draft, part, [clip for clip in clips if clip.part == part], duplicate)
    clusters, pairs = find_pairs(told, seed=seed)
    write_pairs(draft / "Jsons" / "cross_video_pairs", clusters, pairs)
    return SampleFacts(
        root=root,
        parts=PARTS,
        clips=clips,
        videos=tuple(sorted(videos.values(), key=lambda video: (PARTS.index(video.part), video.offset))),
        pairs=pairs,
        views=tuple(sorted(views, key=lambda view: view.path)),
        quirks={**{clip.quirk: clip.key for clip in clips if clip.quirk}, "unloadable": _unloadable_key()},
        unloadable_key=_unloadable_key(),
        unloadable_part=UNLOADABLE_PART,
        duplicate_key=duplicate.key,
        duplicate_part=duplicate.part,
        duplicate_caption=DUPLICATE_CAPTION,
        absent_member=next(video.member for video in VIDEOS if not video.in_tar),
        unnamed_member=next(video.member for video in videos.values() if not video.is_named),
        background_paths=tuple(sorted(clip.background_path for clip in clips if clip.background_path)),
        piece_sizes=piece_sizes,
        size_bytes=sum(path.stat().st_size for path in draft.rglob("*") if path.is_file()),
    )


def _video_facts(video: Video, mp4: Mp4, tars: dict[str, Tar], *, is_named: bool) -> VideoFacts:
    return VideoFacts(
        number=video.number,
        part=video.part,
        member=video.member,
        record_path=video.record_path,
        offset=tars[video.part].offsets[video.member],
        size_bytes=len(mp4.data),
        sha256=mp4.sha256,
        width=video.width,
        height=video.height,
        fps=float(video.fps),
        num_frames=video.num_frames,
        pts_seconds=mp4.pts_seconds,
        key_frames=mp4.key_frames,
        has_audio=video.audio_first,
        moov_at_end=video.moov_at_end,
        varying=video.varying,
        is_named=is_named,
    )


def _write_background(draft: Path, take: Take, stage: Stage) -> str:
    path = f"Background/{stage.video.part}/{clip_key(take, stage.video)}.png"
    write_png(draft / path, stage.background())
    return path


def _write_json(draft: Path, part: str, clips: list[ClipFacts], duplicate: ClipFacts) -> None:
    records: list[tuple[str, Any]] = []
    for clip in clips:
        records.append((clip.key, upstream_record(clip, caption=_raw_caption(clip))))
        if part == UNLOADABLE_PART and len(records) == len(clips) // 2:
            records.append((_unloadable_key(), {**upstream_record(clip), "annotation": "oops"}))
    if part == duplicate.part:
        records.append((duplicate.key, upstream_record(duplicate, caption=DUPLICATE_CAPTION)))
    folder = draft / "Jsons" / JSON_SET
    folder.mkdir(parents=True, exist_ok=True)
    text = dump_records(records, indent=JSON_INDENT[part])
    (folder / f"{part}.json").write_text(text, encoding="ascii", newline="\n")


def _raw_caption(clip: ClipFacts) -> str:
    """Give the caption with half of a surrogate pair where the facts, as readers must, say U+FFFD."""
    return clip.caption.replace("\ufffd", "\ud83d")


def _unloadable_key() -> str:
    return f"{UNLOADABLE_STEM}_step1-0-49_step2-0-49_step3_step4_step5"
