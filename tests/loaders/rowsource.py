"""A catalog in memory: rows of three configs, each a tiny mp4 whose pictures show their frame numbers, and bad ones."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from loaders.clips import HEIGHT, NUM_FRAMES, WIDTH, clip_bytes
from opens2v_data.errors import ArchiveError, MissingPieceError
from opens2v_data.triples import VideoRef
from opens2v_loaders.masks import encode_rle

SUBJECT_BOX = (8, 16, 40, 44)
MASK_BOX = (10, 20, 38, 40)


@cache
def mask_counts() -> str:
    """Return a mask of the box `MASK_BOX` in a whole picture."""
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[MASK_BOX[1] : MASK_BOX[3], MASK_BOX[0] : MASK_BOX[2]] = True
    return encode_rle(inside).decode()


@cache
def png() -> bytes:
    """Return a view: 20 x 10 pixels of red."""
    file = io.BytesIO()
    Image.new("RGB", (20, 10), (255, 0, 0)).save(file, "png")
    return file.getvalue()


@dataclass(kw_only=True)
class FakeCatalog:
    """Rows 0 … num_rows - 1 in each config, all of the same mp4.

    Attributes:
        bad: what is wrong with a row: "garbage" instead of an mp4, "missing" from the archive, "absent" from the release.
        reads: how often each row's mp4 was asked for.
        lengths: frames of each row, as recorded; the files have 30.
    """

    num_rows: int
    bad: Mapping[int, str] = field(default_factory=dict)
    fingerprint: str = "a catalog"
    num_subjects: int = 1
    lengths: Mapping[int, int] = field(default_factory=dict)
    reads: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Encode the mp4 now: threads that all find it missing would each encode their own, and x264's are not all alike."""
        clip_bytes("B-frames")

    def row_sizes(self, where: str | None = None, *, config: str = "regular") -> dict[str, np.ndarray]:
        """Return all rows; a condition `< N` keeps those below N."""
        count = self.num_rows if where is None else int(where.removeprefix("< "))
        ids = np.arange(count)
        return {
            "row_id": ids,
            "width": np.full(count, WIDTH),
            "height": np.full(count, HEIGHT),
            "num_frames": np.array([self.lengths.get(row, NUM_FRAMES) for row in ids.tolist()]),
        }

    def rows_of(
        self, ids: Sequence[int] | np.ndarray, *, config: str = "regular", with_subjects: bool = True
    ) -> list[dict[str, Any]]:
        """Return rows as `OpenS2V.rows_of` does."""
        return [self._pair(int(row)) if config == "nexus-cross" else self._row(int(row), config) for row in ids]

    def read_videos(self, videos: Iterable[VideoRef]) -> Iterator[bytes | ArchiveError]:
        """Give mp4s, looking two ahead as a fetcher does."""
        ahead: list[bytes | ArchiveError] = []
        for video in videos:
            ahead.append(self._read(video))
            if len(ahead) > 2:
                yield ahead.pop(0)
        yield from ahead

    def read_bytes(self, video: VideoRef | None) -> bytes:
        """Return one mp4."""
        found = MissingPieceError("no bytes") if video is None else self._read(video)
        if isinstance(found, ArchiveError):
            raise found
        return found

    def read_file(self, path: str) -> bytes:
        """Return a view."""
        return png()

    def _read(self, video: VideoRef) -> bytes | ArchiveError:
        row = video.offset
        self.reads[row] += 1
        kind = self.bad.get(row)
        if kind == "missing":
            return MissingPieceError(f"piece of row {row} is not there")
        return b"no mp4 at all" * 40 if kind == "garbage" else clip_bytes("B-frames")

    def _row(self, row: int, config: str) -> dict[str, Any]:
        subjects = [
            {
                "object_id": number + 1,
                "class_name": f"thing {number}",
                "bbox": list(map(float, SUBJECT_BOX)),
                "gme_score": 0.7,
                "aes_score": 5.0,
                "mask": {
                    "frame_idx": 4,
                    "height": HEIGHT,
                    "width": WIDTH,
                    "score": 0.9,
                    "counts": mask_counts(),
                },
            }
            for number in range(self.num_subjects)
        ]
        path = f"opens2v://catalog/part/{row}-1000/{row}.mp4"
        values: dict[str, Any] = {
            "clip_id": row,
            "clip_key": f"key{row}",
            "part": "part",
            "cluster_id": "cluster",
            "caption": f"caption {row}",
            "fps": 30.0,
            "num_frames": self.lengths.get(row, NUM_FRAMES),
            "width": WIDTH,
            "height": HEIGHT,
            "ann_frame_idx": 4,
            "aesthetic": row / 10,
            "motion": None,
            "tech": 1.0,
            "video_path": None if self.bad.get(row) == "absent" else path,
            "background_path": None,
            "subjects": subjects,
        }
        values |= {f"{kind}_tags": [] for kind in ("background", "subject", "object", "pre_define")}
        for name in (
            "cut_start",
            "cut_end",
            "face_cut_start",
            "face_cut_end",
            "crop_x0",
            "crop_y0",
            "crop_x1",
            "crop_y1",
        ):
            values[name] = None
        if config == "nexus-gpt":
            view = {"view_idx": 0, "class_name": "thing 0", "object_id": 1, "path": f"{row}.png", "source_path": None}
            values["views"] = [view, view | {"view_idx": 1, "object_id": None}]
        return values

    def _pair(self, row: int) -> dict[str, Any]:
        return {
            "clip": self._row(row, "regular"),
            "partner": self._row(row, "regular"),
            "object_id": 1,
            "partner_object_id": 1,
            "class_name": "thing 0",
            "partner_class_name": "thing 0",
            "text_similarity": 1.0,
            "image_similarity": 0.8,
        }
