"""What does one row become? From a catalog's row and its bytes to a sample: frames, pictures, text.

regular      row ─▶ Triple                  frames of the clip      cut-outs of its subjects
nexus-gpt    row ─▶ Triple with views       the same                and its views
nexus-cross  row ─▶ Pair                    frames of the left      cut-outs of the left, and the right subject's
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from opens2v_data.errors import ArchiveError, DecodeError, FrameIndexError, MemberNotFoundError
from opens2v_data.triples import Pair, Triple
from opens2v_loaders.container import probe
from opens2v_loaders.cutouts import annotated_frame
from opens2v_loaders.decoding import decode
from opens2v_loaders.sampling import frame_range, rng_of
from opens2v_loaders.scenes import background_plate, fitted
from opens2v_loaders.subjects import Picture, choose, letterbox, subject_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from opens2v_data.triples import Clip, VideoRef
    from opens2v_loaders.ring import HostRing
    from opens2v_loaders.sampling import ClipSpec, Fit
    from opens2v_loaders.subjects import SubjectSpec

SOURCES = ("regular", "nexus-cross", "nexus-gpt")
"""Configs whose rows can be trained on; `Mapping` of a mix names them."""


class RowSource(Protocol):
    """Where rows and bytes come from; what `opens2v_data.open(root)` gives is one. Threads share it."""

    @property
    def fingerprint(self) -> str:
        """Of its content."""
        ...

    def row_sizes(self, where: str | None = None, *, config: Any = "regular") -> dict[str, np.ndarray]:
        """Return `row_id`, `width`, `height`, `num_frames` of the rows that a condition names, `(N,)` each."""
        ...

    def rows_of(
        self, ids: Sequence[int] | np.ndarray, *, config: Any = "regular", with_subjects: bool = True
    ) -> list[dict[str, Any]]:
        """Return the rows of some ids; their subjects may be missing where they are not wanted."""
        ...

    def read_videos(self, videos: Iterable[VideoRef]) -> Iterator[bytes | ArchiveError]:
        """Give mp4s in the order asked for; an error in place of one that cannot be read."""
        ...

    def read_bytes(self, video: VideoRef | None) -> bytes:
        """Return one mp4."""
        ...

    def read_file(self, path: str) -> bytes:
        """Return a view's or a plate's file."""
        ...


@dataclass(frozen=True, kw_only=True)
class Item:
    """A row as values.

    Attributes:
        source: config of the row.
        row: its id there.
        triple: what it is; of a pair, the left side.
        pair: only of "nexus-cross".
    """

    source: str
    row: int
    triple: Triple
    pair: Pair | None

    @classmethod
    def from_row(cls, source: str, row: int, values: Mapping[str, Any]) -> Item:
        """Make one from a row of config `source`."""
        if source == "nexus-cross":
            pair = Pair.from_row(values)
            return cls(source=source, row=row, triple=pair.left, pair=pair)
        return cls(source=source, row=row, triple=Triple.from_row(values), pair=None)

    @property
    def clips(self) -> tuple[Clip, ...]:
        """The clips whose bytes it takes."""
        return (self.triple.clip,) if self.pair is None else (self.pair.left.clip, self.pair.right.clip)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One row, decoded. Its frames are in the tensor that `Recipe.make` was given.

    Attributes:
        item: the row.
        frame_indices: `(T,) int64`, frames of the file.
        pts_seconds: `(T,) float64`.
        fit: how the cropped pictures came to their size.
        subjects, partners, views: pictures; `partners` has one at most.
        foregrounds, backgrounds: the annotated frame and the background plate, one at most each.
    """

    item: Item
    frame_indices: np.ndarray
    pts_seconds: torch.Tensor
    fit: Fit
    subjects: tuple[Picture, ...]
    partners: tuple[Picture, ...]
    views: tuple[Picture, ...]
    foregrounds: tuple[Picture, ...]
    backgrounds: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a row becomes a sample.

    Attributes:
        clip: which frames, and what of each.
        subjects: which subjects, and how; None: none, and the annotated frame is not decoded.
        seed: of what is random, which is the same for a row in an epoch wherever and whenever it is made.
        device: where frames are wanted.
    """

    clip: ClipSpec
    subjects: SubjectSpec | None
    seed: int
    device: torch.device

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(T, 3, H, W)` of a sample's frames."""
        assert self.clip.size is not None
        return (self.clip.num_frames, 3, *self.clip.size)

    def make(
        self,
        item: Item,
        videos: Sequence[bytes],
        *,
        epoch: int,
        out: torch.Tensor,
        read_file: Callable[[str], bytes],
        ring: HostRing | None = None,
    ) -> Sample:
        """Decode a row.

        Args:
            videos: mp4s of `item.clips`.
            out: `self.shape` `uint8` on `self.device`, written to.
            ring: see `decoding.decode`.

        Raises:
            DecodeError: a video does not give what is wanted (a subclass says why).
            ArchiveError: a view or a plate cannot be read.
        """
        clip = item.triple.clip
        full = () if self.subjects is None or clip.ann_frame_idx is None else (clip.ann_frame_idx,)
        frames_rng = rng_of(self.seed, epoch, item.row, "frames")
        indices = self.clip.frame_indices(frame_range(clip), rng=frames_rng)
        try:
            frame = self._decode_into(out, item, videos[0], indices, full, epoch, ring)
        except FrameIndexError:
            # Recorded ranges can reach past a file's end. To count the frames beforehand would open every file twice.
            frames_rng = rng_of(self.seed, epoch, item.row, "frames")
            num_frames = len(probe(videos[0]).pts)
            indices = self.clip.frame_indices(frame_range(clip, num_frames=num_frames), rng=frames_rng)
            frame = self._decode_into(out, item, videos[0], indices, full, epoch, ring)
        pts_seconds, annotated, fit = frame
        subjects: list[Picture] = []
        if self.subjects is not None and annotated is not None:
            height, width = annotated.shape[:2]
            subjects_rng = rng_of(self.seed, epoch, item.row, "subjects")
            for subject in choose(item.triple.subjects, self.subjects, height=height, width=width, rng=subjects_rng):
                picture = subject_picture(annotated, subject, self.subjects)
                if picture is not None:
                    subjects.append(picture)
        return Sample(
            item=item,
            frame_indices=indices,
            pts_seconds=pts_seconds,
            fit=fit,
            subjects=tuple(subjects),
            partners=tuple(self._partners(item, videos)),
            views=tuple(self._views(item, read_file)),
            foregrounds=tuple(self._foregrounds(annotated, fit)),
            backgrounds=tuple(self._backgrounds(clip, fit, read_file)),
        )

    def _decode_into(
        self,
        out: torch.Tensor,
        item: Item,
        data: bytes,
        indices: np.ndarray,
        full: tuple[int, ...],
        epoch: int,
        ring: HostRing | None,
    ) -> tuple[torch.Tensor, np.ndarray | None, Fit]:
        """Write the frames; return their times, the cropped annotated frame, `(H, W, 3) uint8`, and how they came to size."""
        clip = item.triple.clip
        height, width = _cropped_size(clip, data)
        fit = self.clip.fit(height, width, rng=rng_of(self.seed, epoch, item.row, "crop"))
        found = decode(
            data,
            indices=indices.tolist(),
            crop_xyxy=clip.crop_xyxy,
            size=fit.resize,
            window_xyxy=fit.box_xyxy,
            full=full,
            device=self.device,
            out=out,
            ring=ring,
        )
        if not full:
            return found.pts_seconds, None, fit
        x0, y0, x1, y1 = found.crop_xyxy
        whole = found.full[full[0]][:, y0:y1, x0:x1]
        return found.pts_seconds, whole.permute(1, 2, 0).cpu().numpy(), fit

    def _partners(self, item: Item, videos: Sequence[bytes]) -> Iterator[Picture]:
        if item.pair is None or self.subjects is None or (subject := item.pair.right_subject) is None:
            return
        picture = subject_picture(annotated_frame(videos[1], item.pair.right.clip), subject, self.subjects)
        if picture is not None:
            yield picture

    def _views(self, item: Item, read_file: Callable[[str], bytes]) -> Iterator[Picture]:
        from PIL import Image, UnidentifiedImageError

        for view in item.triple.views if self.subjects is not None else ():
            assert self.subjects is not None
            try:
                with Image.open(io.BytesIO(read_file(view.path))) as image:
                    pixels = letterbox(image, self.subjects)
            except (UnidentifiedImageError, OSError) as error:
                raise DecodeError(f"view {view.path} is no picture that Pillow reads: {error}") from error
            object_id = -1 if view.object_id is None else view.object_id
            yield Picture(pixels=pixels, box_xyxy=(0, 0, 0, 0), name=view.class_name, object_id=object_id)

    def _foregrounds(self, annotated: np.ndarray | None, fit: Fit) -> Iterator[Picture]:
        if self.subjects is not None and self.subjects.scene and annotated is not None:
            yield _scene("foreground", fitted(annotated, fit))

    def _backgrounds(self, clip: Clip, fit: Fit, read_file: Callable[[str], bytes]) -> Iterator[Picture]:
        if self.subjects is None or not self.subjects.scene or clip.background_path is None:
            return
        try:
            yield _scene("background", fitted(background_plate(read_file(clip.background_path)), fit))
        except DecodeError as error:
            raise DecodeError(f"background plate {clip.background_path}: {error}") from error


def _scene(name: str, rgb: np.ndarray) -> Picture:
    return Picture(pixels=rgb, box_xyxy=(0, 0, 0, 0), name=name, object_id=-1)


def videos_of(item: Item, read: Callable[[VideoRef | None], bytes]) -> list[bytes]:
    """Read the mp4s of a row's clips.

    Raises:
        ArchiveError: one cannot be read.
    """
    return [read(clip.video) for clip in item.clips]


def absent(clip: Clip) -> MemberNotFoundError:
    """Return the error of a clip that the release has no bytes for."""
    return MemberNotFoundError(f"the release has no bytes for clip {clip.key} of {clip.part}: its `video` is None")


def _cropped_size(clip: Clip, data: bytes) -> tuple[int, int]:
    """Return (height, width) of the clip's pictures after its crop: as recorded, else as the file has it."""
    width, height = clip.width, clip.height
    if width is None or height is None:
        info = probe(data)
        width, height = info.width, info.height
    x0, y0, x1, y1 = clip.crop_xyxy or (0, 0, width, height)
    return max(1, min(y1, height) - max(y0, 0)), max(1, min(x1, width) - max(x0, 0))
