"""The mask blobs of a generated catalog: a few thousand distinct ones of real size, which all its clips share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from opens2v_data.catalog.manifest import CatalogFile
from opens2v_data.catalog.masks import blob_file, pack_masks
from opens2v_data.release.records import MaskRecord

SIZES = ((1280, 720), (1280, 640), (720, 1280), (960, 720), (720, 720), (1920, 1080))
SIZE_SHARES = (0.72, 0.08, 0.08, 0.05, 0.03, 0.04)
SHAPES_PER_SIZE = 600
DISTINCT_SHARE = 0.6
"""Of the masks of a clip so many are distinct: 9 of 16 in upstream's sample, where a phrase is detected several times."""
FILE_BYTES = 70_000_000
"""What the blobs of one stretch of JSON take (`masks.CELL_BYTES`)."""


@dataclass(frozen=True, kw_only=True)
class MaskBlobs:
    """What clips with a blob have: per blob, and per object of all blobs one behind the other.

    Attributes:
        width, height: of the cropped frame, pixels.
        frame_idx: the annotated frame.
        first: `(N + 1,)`, blob i has objects first[i] to first[i + 1] - 1.
        num_masks, file_idx, offset, size_bytes: of the blob; size 0 where there is no mask.
        box: `(objects, 4) float32`, xyxy, of the mask's pixels.
        has_mask, is_empty: per object.
        score: per object, NaN without a mask.
        files: the blob files.
    """

    width: np.ndarray
    height: np.ndarray
    frame_idx: np.ndarray
    first: np.ndarray
    num_masks: np.ndarray
    file_idx: np.ndarray
    offset: np.ndarray
    size_bytes: np.ndarray
    box: np.ndarray
    has_mask: np.ndarray
    is_empty: np.ndarray
    score: np.ndarray
    files: tuple[CatalogFile, ...]


def write_blobs(root: Path, rng: np.random.Generator, *, num_blobs: int, num_subjects: float) -> MaskBlobs:
    """Write blob files below `root` and say what is in them.

    Args:
        root: the catalog.
        rng: what they are drawn from.
        num_blobs: how many distinct ones.
        num_subjects: objects per blob, on average.
    """
    shapes = [[_shape(rng, width, height) for _ in range(SHAPES_PER_SIZE)] for width, height in SIZES]
    size_idx = rng.choice(len(SIZES), num_blobs, p=SIZE_SHARES)
    # Drawn around an exact mean, so that the number of subjects is what was asked for.
    num = np.clip(rng.poisson(rng.gamma(4.0, num_subjects / 4.0, num_blobs)), 0, 40)
    first = np.concatenate([[0], np.cumsum(num)])
    total = int(first[-1])
    frame_idx = np.where(rng.random(num_blobs) < 0.7, 0, rng.integers(1, 200, num_blobs)).astype(np.int32)
    has_mask = rng.random(total) < 0.97
    is_empty = has_mask & (rng.random(total) < 0.003)
    score = np.where(has_mask, 1 - rng.integers(1, 40, total) / 128, np.nan).astype(np.float32)
    box = np.empty((total, 4), np.float32)
    (root / "masks").mkdir()
    sink = _BlobSink(root)
    places = []
    for blob in range(num_blobs):
        width, height = SIZES[size_idx[blob]]
        objects = range(int(first[blob]), int(first[blob + 1]))
        few = rng.integers(0, SHAPES_PER_SIZE, max(1, round(DISTINCT_SHARE * len(objects))))
        chosen = few[rng.integers(0, len(few), len(objects))]
        masks = []
        for number, (index, shape_idx) in enumerate(zip(objects, chosen, strict=True), start=1):
            counts, box[index] = shapes[size_idx[blob]][shape_idx]
            if has_mask[index]:
                counts = _compress(np.array([width * height])) if is_empty[index] else counts
                masks.append(
                    MaskRecord(int(frame_idx[blob]), number, height, width, float(score[index]), counts),
                )
        places.append((*sink.write(pack_masks(masks) if masks else b""), len(masks)))
    file_idx, offset, size_bytes, num_masks = np.array(places).T
    width, height = np.array(SIZES, np.int32)[size_idx].T
    return MaskBlobs(
        width=width,
        height=height,
        frame_idx=frame_idx,
        first=first,
        num_masks=num_masks.astype(np.int32),
        file_idx=file_idx.astype(np.int32),
        offset=offset,
        size_bytes=size_bytes.astype(np.int32),
        box=box,
        has_mask=has_mask,
        is_empty=is_empty,
        score=score,
        files=sink.close(),
    )


class _BlobSink:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: list[CatalogFile] = []
        self._pending: list[bytes] = []
        self._size = 0

    def write(self, blob: bytes) -> tuple[int, int, int]:
        if self._size >= FILE_BYTES:
            self._flush()
        place = len(self._files), self._size, len(blob)
        self._pending.append(blob)
        self._size += len(blob)
        return place

    def close(self) -> tuple[CatalogFile, ...]:
        if self._size:
            self._flush()
        return tuple(self._files)

    def _flush(self) -> None:
        data, path = b"".join(self._pending), blob_file(len(self._files))
        (self._root / path).write_bytes(data)
        self._files.append(CatalogFile(path=path, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest()))
        self._pending, self._size = [], 0


def _shape(rng: np.random.Generator, width: int, height: int) -> tuple[str, np.ndarray]:
    """Return the run lengths and the box, xyxy, of a ragged ellipse."""
    half_width = rng.uniform(0.03, 0.42) * width
    half_height = rng.uniform(0.05, 0.48) * height
    centre_x, centre_y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.2, 0.8) * height
    left, right = max(0, int(centre_x - half_width)), min(width, int(centre_x + half_width) + 1)
    column = np.arange(left, right)
    bulge = half_height * np.sqrt(np.clip(1 - ((column - centre_x) / half_width) ** 2, 0.01, 1))
    # Upstream's masks are ragged, and often in pieces: hair, leaves, what something stands in front of.
    pieces = int(rng.choice((1, 2, 3, 5), p=(0.5, 0.25, 0.15, 0.1)))
    ragged = np.cumsum(rng.normal(0, rng.uniform(0.5, 6), (2 * pieces, len(column))), axis=1) * 0.7
    along = np.linspace(-1, 1, 2 * pieces)[:, None]
    # Where each piece starts and ends, from the top down; each at least a row behind the one before, and a row below stays
    # free, so that no run has length 0.
    edges = np.sort(np.round(centre_y + along * bulge + ragged).astype(np.int64), axis=0)
    steps = np.arange(2 * pieces)[:, None]
    edges = np.maximum.accumulate(np.clip(edges, 0, height - 2 * pieces) - steps, axis=0) + steps
    edges = np.clip(edges, steps, height - 2 * pieces + steps)
    runs = np.diff(np.concatenate([[0], (column * height + edges).T.ravel(), [width * height]]))
    return _compress(runs), np.array([left, edges[0].min(), right, edges[-1].max()], np.float32)


def _compress(runs: np.ndarray) -> str:
    """Write run lengths as COCO's string: pycocotools, `common/maskApi.c`, `rleToString`, all numbers at once."""
    values = runs.astype(np.int64)
    values[3:] -= runs[1:-2]
    characters = np.zeros((len(values), 8), np.uint8)
    is_open = np.ones(len(values), bool)
    for place in range(characters.shape[1]):
        low, values = values & 0x1F, values >> 5
        more = values != np.where(low & 0x10, -1, 0)
        characters[:, place] = np.where(is_open, (low | np.where(more, 0x20, 0)) + 48, 0)
        is_open &= more
    return characters[characters > 0].tobytes().decode("ascii")
