"""Which videos of a model are there, missing, extra or unreadable; asked before any model loads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from opens2v_data.errors import DecodeError, EvaluationError, MissingExtraError
from opens2v_eval.prompts import Prompts

SUFFIX = ".mp4"
Progress = Callable[[str, int, int], None]
"""Called with a stage's name, how much is done, and how much there is."""


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A video that cannot be decoded, and why."""

    key: str
    path: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class VideoCheck:
    """What a folder of videos holds; found and missing and unreadable are all prompts.

    Attributes:
        folder: where they lie.
        found: the readable ones by key, in the prompts' order.
        missing: keys that have no `<key>.mp4`.
        extra: video files that belong to no prompt.
        unreadable: those that our decoder cannot open, or whose last frame does not decode.
    """

    folder: Path
    found: dict[str, Path] = field(repr=False)
    missing: tuple[str, ...]
    extra: tuple[Path, ...]
    unreadable: tuple[Unreadable, ...]

    @property
    def is_complete(self) -> bool:
        """Whether each prompt has a readable video."""
        return not self.missing and not self.unreadable


def check_videos(
    folder: str | Path, prompts: Prompts, *, probe: bool = True, progress: Progress | None = None
) -> VideoCheck:
    """Compare a folder of videos with the prompts.

    Args:
        folder: holds `<key>.mp4` files, at its top.
        prompts: what there should be a video for.
        probe: open each, and decode its first and last frame; else only names and sizes are looked at.
        progress: told of stage `videos`.

    Raises:
        EvaluationError: the folder is not there.
        MissingExtraError: there is no decoder.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise EvaluationError(f"{place}: expected a folder of videos named <key>{SUFFIX}; there is none")
    files = {path.name: path for path in sorted(place.iterdir()) if path.suffix.lower() == SUFFIX and path.is_file()}
    found: dict[str, Path] = {}
    missing: list[str] = []
    unreadable: list[Unreadable] = []
    for done, key in enumerate(prompts.keys, 1):
        path = files.pop(f"{key}{SUFFIX}", None)
        if path is None:
            missing.append(key)
        elif reason := _fault(path, probe):
            unreadable.append(Unreadable(key=key, path=path, reason=reason))
        else:
            found[key] = path
        if progress is not None:
            progress("videos", done, len(prompts))
    return VideoCheck(
        folder=place,
        found=found,
        missing=tuple(missing),
        extra=tuple(files.values()),
        unreadable=tuple(unreadable),
    )


def _fault(path: Path, probe: bool) -> str | None:
    """Return why a video cannot be used, or None."""
    try:
        if not path.stat().st_size:
            return "the file is empty"
        if probe:
            _probe(path)
    except (DecodeError, OSError) as error:
        return str(error)
    return None


def _probe(path: Path) -> None:
    try:
        from opens2v_loaders import probe, read_frames
    except ImportError as error:
        raise MissingExtraError(package="PyAV", extra="eval", needed_for="reading videos") from error
    data = path.read_bytes()
    info = probe(data)
    if info.is_truncated:
        raise DecodeError(
            f"the file is cut off: {info.num_frames_from_packets} of {info.num_packets_from_header} frames are there"
        )
    # Numbers of frames of the metrics run from the first to the last.
    read_frames(data, sorted({0, info.num_frames_from_packets - 1}))
