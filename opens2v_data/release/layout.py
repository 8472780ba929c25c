"""What lies where in a release: parts and their tars, JSON sets, pairs, views, plates.

    Videos/<part>/<part>.tar.split.NNN            a tar cut into byte pieces      (layout "split-tar")
    Videos/<part>/<part>.tar                      the pieces joined                (layout "tar")
    Videos/<part>/…/*.mp4                         already unpacked                 (layout "files")
    Jsons/<set>/<part>.json                       annotations, one JSON object each
    Jsons/cross_video_pairs/…                     cluster_videos.json, cross_frames_pairs.json, final_output/*.json
    Background/<part>/<clip_key>.png              (or without the part)
    GPT-Frames/<clip_key>/{main_image,<i>_<class>}.png

Source: file tree of the Hub dataset BestWishYsh/OpenS2V-5M and the authors' demo data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal

from opens2v_data.errors import ReleaseError
from opens2v_data.release.files import FileEntry, LocalFiles, ReleaseFiles

PAIRS_FOLDER = "Jsons/cross_video_pairs"
VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi")
_PIECE = re.compile(r"^(?P<name>.+\.tar)\.split\.(?P<number>\d+)$")


@dataclass(frozen=True, kw_only=True)
class VideoPart:
    """One part's videos.

    Attributes:
        name: folder name below `Videos`.
        layout: how the clips are stored.
        files: the pieces in joining order, the single tar, or every unpacked video.
    """

    name: str
    layout: Literal["split-tar", "tar", "files"]
    files: tuple[FileEntry, ...]


@dataclass(frozen=True, kw_only=True)
class ViewFile:
    """One PNG of `GPT-Frames`: `view_idx` and `class_name` are None for the source frame `main_image.png`."""

    clip_key: str
    path: str
    size_bytes: int
    view_idx: int | None
    class_name: str | None


@dataclass(frozen=True, kw_only=True)
class PlateFile:
    """One background plate; `part` is None where the release does not sort plates by part."""

    part: str | None
    clip_key: str
    path: str
    size_bytes: int


class Release:
    """A release as published, wherever its files lie.

    Args:
        files: where they lie.
        revision: the commit the files are of; None for a local folder.
    """

    def __init__(self, files: ReleaseFiles, *, revision: str | None = None) -> None:
        self.files = files
        self.revision = revision

    @classmethod
    def open(cls, root: str) -> Release:
        """Open a local folder.

        Raises:
            ReleaseError: no folder there, or neither `Jsons` nor `Videos` in it.
        """
        files = LocalFiles(root)
        if not (files.root / "Jsons").is_dir() and not (files.root / "Videos").is_dir():
            found = sorted(path.name for path in files.root.iterdir())[:8]
            raise ReleaseError(
                f"expected Jsons/ and Videos/ in the release folder {files.root}, found {found or 'an empty folder'}; "
                "give the folder that holds them, or make a small release: opens2v demo-release ./release"
            )
        return cls(files)

    def json_files(self, glob: str | None = None) -> tuple[FileEntry, ...]:
        """Return the annotation files, one per part, in natural order (`total_part2` before `total_part10`).

        Args:
            glob: which, below the release; by default the one set there is, or the High-Quality one.

        Raises:
            ReleaseError: none match, several sets are there and none is the High-Quality one, or two files are
                of the same part.
        """
        every = [
            entry for entry in self.files.walk("Jsons") if entry.path.endswith(".json") and not _is_pairs(entry.path)
        ]
        if glob is not None:
            chosen = [entry for entry in every if fnmatchcase(entry.path, glob)]
            if not chosen:
                raise ReleaseError(
                    f"expected JSON files that match {glob!r} below {self.files.uri}, found none; there are {_sets(every)}"
                )
        else:
            chosen = self._default_set(every)
        by_part: dict[str, FileEntry] = {}
        for entry in chosen:
            part = part_of(entry.path)
            if part in by_part:
                raise ReleaseError(
                    f"expected one JSON file per part, found two for {part}: {by_part[part].path} and {entry.path}; "
                    "choose one set with --json-glob"
                )
            by_part[part] = entry
        return tuple(sorted(chosen, key=lambda entry: natural_key(part_of(entry.path))))

    def video_parts(self) -> tuple[VideoPart, ...]:
        """Return the parts that have videos, in natural order.

        Raises:
            ReleaseError: a piece's number is missing in a part.
        """
        by_part: dict[str, list[FileEntry]] = {}
        for entry in self.files.walk("Videos"):
            pieces = PurePosixPath(entry.path).parts
            if len(pieces) >= 3:
                by_part.setdefault(pieces[1], []).append(entry)
        parts = (_video_part(name, files) for name, files in by_part.items())
        return tuple(sorted((part for part in parts if part.files), key=lambda part: natural_key(part.name)))

    def pair_files(self) -> tuple[FileEntry, ...]:
        """Return the files that hold cross-video pairs: the one with all of them first, then one per cluster."""
        found = [entry for entry in self.files.walk(PAIRS_FOLDER) if entry.path.endswith(".json")]
        pairs = [entry for entry in found if PurePosixPath(entry.path).name != "cluster_videos.json"]
        return tuple(sorted(pairs, key=lambda entry: (len(PurePosixPath(entry.path).parts), natural_key(entry.path))))

    def cluster_file(self) -> FileEntry | None:
        """Return the index of clusters, `{cluster: [part/clip_key, …]}`, if it is there."""
        path = f"{PAIRS_FOLDER}/cluster_videos.json"
        return next((entry for entry in self.files.walk(PAIRS_FOLDER) if entry.path == path), None)

    def views(self) -> Iterator[ViewFile]:
        """Give every PNG of `GPT-Frames`, folder by folder."""
        for entry in self.files.walk("GPT-Frames"):
            pure = PurePosixPath(entry.path)
            if pure.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
                continue
            number, _, name = pure.stem.partition("_")
            is_view = number.isascii() and number.isdigit() and len(number) < 10 and bool(name)
            if is_view or pure.stem == "main_image":
                yield ViewFile(
                    clip_key=pure.parent.name,
                    path=entry.path,
                    size_bytes=entry.size_bytes,
                    view_idx=int(number) if is_view else None,
                    class_name=name.replace("_", " ") if is_view else None,
                )

    def plates(self) -> Iterator[PlateFile]:
        """Give every background plate."""
        for entry in self.files.walk("Background"):
            pure = PurePosixPath(entry.path)
            if pure.suffix.lower() == ".png":
                part = pure.parts[1] if len(pure.parts) > 2 else None
                yield PlateFile(part=part, clip_key=pure.stem, path=entry.path, size_bytes=entry.size_bytes)

    def _default_set(self, every: Sequence[FileEntry]) -> list[FileEntry]:
        sets = _sets(every)
        if not sets:
            raise ReleaseError(
                f"expected annotation files like Jsons/<set>/<part>.json below {self.files.uri}, found none"
            )
        best = [name for name in sets if "high-quality" in name.lower()] or sets
        if len(best) > 1:
            raise ReleaseError(
                f"expected one annotation set below {self.files.uri}/Jsons, found {best}; "
                f"choose with --json-glob, for example --json-glob '{best[0]}/*.json'"
            )
        return [entry for entry in every if str(PurePosixPath(entry.path).parent) == best[0]]


def part_of(json_path: str) -> str:
    """Return the part that an annotation file describes: its name without `.json`."""
    return PurePosixPath(json_path).stem


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key under which `part2` comes before `part10`."""
    pieces = re.split(r"([0-9]+)", name)
    return tuple((0, int(piece)) if piece.isascii() and piece.isdigit() else (1, piece) for piece in pieces)


def _is_pairs(path: str) -> bool:
    return path.startswith(f"{PAIRS_FOLDER}/")


def _sets(entries: Sequence[FileEntry]) -> list[str]:
    return sorted({str(PurePosixPath(entry.path).parent) for entry in entries})


def _video_part(name: str, files: list[FileEntry]) -> VideoPart:
    numbered = sorted((int(match["number"]), entry) for entry in files if (match := _PIECE.match(entry.path)))
    if numbered:
        tars = {_PIECE.match(entry.path)["name"] for _, entry in numbered}  # type: ignore[index]
        if len(tars) > 1:
            raise ReleaseError(f"expected the pieces of one tar in Videos/{name}, found pieces of {sorted(tars)}")
        if (numbers := [number for number, _ in numbered]) != list(range(len(numbered))):
            missing = next(number for number, seen in enumerate([*numbers, -1]) if number != seen)
            raise ReleaseError(
                f"expected pieces 000 to {numbers[-1]:03d} of part {name}, found no piece {missing:03d}; download it, "
                f"since every clip behind it lies at the wrong place without it"
            )
        return VideoPart(name=name, layout="split-tar", files=tuple(entry for _, entry in numbered))
    tars = [entry for entry in files if entry.path.endswith(".tar")]
    if len(tars) == 1:
        return VideoPart(name=name, layout="tar", files=tuple(tars))
    if len(tars) > 1:
        raise ReleaseError(f"expected one tar in Videos/{name}, found {[entry.path for entry in tars]}")
    videos = tuple(entry for entry in files if entry.path.lower().endswith(VIDEO_SUFFIXES))
    return VideoPart(name=name, layout="files", files=videos)
