"""What a training step gets: a batch of clips, with pictures of subjects in any number for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opens2v_data.triples import MaskRLE
    from opens2v_loaders.samples import Sample
    from opens2v_loaders.sampling import Fit
    from opens2v_loaders.subjects import Picture

SCORES = ("aesthetic", "motion", "tech")


@dataclass(frozen=True, kw_only=True, eq=False)
class PaddedPictures:
    """Pictures with as many places for each clip.

    Attributes:
        images: `(B, M, C, H, W) uint8 in [0, 255]`, see `Pictures`; 0 where there is none.
        boxes_xyxy: `(B, M, 4) int32`, see `Pictures`; 0 where there is none.
        is_present: `(B, M) bool`.
    """

    images: torch.Tensor
    boxes_xyxy: torch.Tensor
    is_present: torch.Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Pictures of a batch, any number for each clip: clip b has those of `[offsets[b], offsets[b + 1])`.

    Attributes:
        images: `(S, 3, H, W) uint8 in [0, 255], RGB`; subjects, partners and views `(S, 4, H, W)`, RGBA, with
            `SubjectSpec(background="transparent")`.
        boxes_xyxy: `(S, 4) int32`, half-open pixels of the cropped annotated frame; zeros for views and scenes.
        offsets: `(B + 1,) int64`, on the CPU.
        names: S class names.
        object_ids: `(S,) int64`, on the CPU; -1 for scenes, and where a view shows no subject of the clip.
        masks: of the subjects, S or none at all, as run lengths in the cropped annotated frame; None where there is no mask
            that can be used. `Batch.subject_masks` paints them.
    """

    images: torch.Tensor
    boxes_xyxy: torch.Tensor
    offsets: torch.Tensor
    names: tuple[str, ...]
    object_ids: torch.Tensor
    masks: tuple[MaskRLE | None, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"Pictures(images=uint8{list(self.images.shape)}, offsets={self.offsets.tolist()})"

    def to(self, device: str | torch.device, *, non_blocking: bool = False) -> Pictures:
        """Return the same with images and boxes on a device; what is on the CPU by its description stays there."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=non_blocking),
            boxes_xyxy=self.boxes_xyxy.to(device, non_blocking=non_blocking),
        )

    def to_padded(self, max_subjects: int) -> PaddedPictures:
        """Return the first `max_subjects` pictures of each clip, with empty places where a clip has fewer.

        Raises:
            ValueError: fewer than one.
        """
        if max_subjects < 1:
            raise ValueError(f"max_subjects must be 1 or more, not {max_subjects}")
        num_clips = len(self.offsets) - 1
        images = self.images.new_zeros((num_clips, max_subjects, *self.images.shape[1:]))
        boxes = self.boxes_xyxy.new_zeros((num_clips, max_subjects, 4))
        is_present = torch.zeros((num_clips, max_subjects), dtype=torch.bool, device=self.images.device)
        ends = self.offsets.tolist()
        for clip, start in enumerate(ends[:-1]):
            count = min(max_subjects, ends[clip + 1] - start)
            images[clip, :count] = self.images[start : start + count]
            boxes[clip, :count] = self.boxes_xyxy[start : start + count]
            is_present[clip, :count] = True
        return PaddedPictures(images=images, boxes_xyxy=boxes, is_present=is_present)


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """One rank's part of a global batch: B clips in the order of their slots.

    B is the rank's share; less, down to 0, where bad clips found no replacement.

    Attributes:
        epoch, step: which batch.
        bucket: of all its rows.
        videos: `(B, T, 3, H, W) uint8 in [0, 255], RGB`, on the loader's device; on a CPU its memory is channels last.
        captions: B; "" where upstream has none.
        keys, parts: of the clips; a key is unique in its part.
        sources: B configs, see `samples.SOURCES`.
        rows: `(B,) int64`, ids of the rows in their sources.
        slots: `(B,) int64`, places in the global batch.
        scores: `aesthetic`, `motion`, `tech`: `(B,) float32`, NaN where upstream has none.
        frame_indices: `(B, T) int64`, frames of the files.
        pts_seconds: `(B, T) float64`.
        fits: B: how each clip's cropped pictures came to the frames' size.
        subjects: cut-outs of the clips' subjects.
        partners: of "nexus-cross" rows, the cut-out of the same subject in the other clip, one at most.
        views: of "nexus-gpt" rows, GPT-Image-1's views.
        foregrounds: the whole annotated frame, brought to the frames' size as they are; with `SubjectSpec(scene=True)`.
        backgrounds: the background plates, likewise; none of clips that the release has no plate for.
    """

    epoch: int
    step: int
    bucket: str
    videos: torch.Tensor
    captions: tuple[str, ...]
    keys: tuple[str, ...]
    parts: tuple[str, ...]
    sources: tuple[str, ...]
    rows: torch.Tensor
    slots: torch.Tensor
    scores: dict[str, torch.Tensor]
    frame_indices: torch.Tensor
    pts_seconds: torch.Tensor
    fits: tuple[Fit, ...]
    subjects: Pictures
    partners: Pictures
    views: Pictures
    foregrounds: Pictures
    backgrounds: Pictures

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return (
            f"Batch(epoch={self.epoch}, step={self.step}, bucket={self.bucket!r}, videos=uint8{list(self.videos.shape)} "
            f"on {self.videos.device}, {len(self.subjects)} subjects)"
        )

    def to(self, device: str | torch.device, *, non_blocking: bool = False) -> Batch:
        """Return the same with videos and pictures on a device, as frameworks ask for it; numbers stay on the CPU."""
        pictures = {
            name: getattr(self, name).to(device, non_blocking=non_blocking)
            for name in ("subjects", "partners", "views", "foregrounds", "backgrounds")
        }
        return replace(self, videos=self.videos.to(device, non_blocking=non_blocking), **pictures)

    def subject_masks(self) -> torch.Tensor:
        """Return the masks of `subjects`, painted where the videos are, over the frames: pixels are the same place.

        They are of the annotated frame of each clip, which may be none of its frames here.

        Returns:
            `(S, H, W) bool`, in the order of `subjects`; False all over where a subject has no mask.
        """
        from opens2v_loaders.mask_tensors import masks_on_frames

        size = (int(self.videos.shape[-2]), int(self.videos.shape[-1]))
        groups = [self.subjects.masks[start:end] for start, end in pairwise(self.subjects.offsets.tolist())]
        return masks_on_frames(groups, self.fits, size=size, device=self.videos.device)


def collate(
    samples: Sequence[Sample],
    videos: torch.Tensor,
    *,
    slots: Sequence[int],
    epoch: int,
    step: int,
    bucket: str,
    picture_shape: tuple[int, int, int],
) -> Batch:
    """Put samples into a batch.

    Args:
        videos: `(len(samples), T, 3, H, W) uint8`, their frames.
        picture_shape: `(C, H, W)` of pictures of subjects, for where there are none.
    """
    clips = [sample.item.triple.clip for sample in samples]
    num_frames = videos.shape[1]
    frame_indices = np.array([sample.frame_indices for sample in samples], np.int64).reshape(len(samples), num_frames)
    times = [sample.pts_seconds for sample in samples]

    def pictures(name: str, shape: tuple[int, ...] = picture_shape) -> Pictures:
        return _ragged([getattr(sample, name) for sample in samples], shape, videos.device)

    frame_shape = tuple(videos.shape[-3:])

    return Batch(
        epoch=epoch,
        step=step,
        bucket=bucket,
        videos=videos,
        captions=tuple(clip.caption for clip in clips),
        keys=tuple(clip.key for clip in clips),
        parts=tuple(clip.part for clip in clips),
        sources=tuple(sample.item.source for sample in samples),
        rows=torch.tensor([sample.item.row for sample in samples], dtype=torch.int64),
        slots=torch.tensor(list(slots), dtype=torch.int64),
        scores={name: _floats([getattr(clip, name) for clip in clips]) for name in SCORES},
        frame_indices=torch.from_numpy(frame_indices),
        fits=tuple(sample.fit for sample in samples),
        pts_seconds=torch.stack(times) if times else torch.empty((0, num_frames), dtype=torch.float64),
        subjects=pictures("subjects"),
        partners=pictures("partners"),
        views=pictures("views"),
        foregrounds=pictures("foregrounds", frame_shape),
        backgrounds=pictures("backgrounds", frame_shape),
    )


def _floats(values: Sequence[float | None]) -> torch.Tensor:
    return torch.tensor([float("nan") if value is None else value for value in values], dtype=torch.float32)


def _ragged(groups: Sequence[Sequence[Picture]], shape: tuple[int, ...], device: torch.device) -> Pictures:
    flat = [picture for group in groups for picture in group]
    images = np.stack([picture.pixels for picture in flat]) if flat else np.empty((0, *shape), np.uint8)
    boxes = np.array([picture.box_xyxy for picture in flat], np.int32).reshape(len(flat), 4)
    return Pictures(
        images=torch.from_numpy(images).to(device),
        boxes_xyxy=torch.from_numpy(boxes).to(device),
        offsets=torch.from_numpy(np.cumsum([0, *(len(group) for group in groups)]).astype(np.int64)),
        names=tuple(picture.name for picture in flat),
        object_ids=torch.tensor([picture.object_id for picture in flat], dtype=torch.int64),
        masks=tuple(picture.mask for picture in flat),
    )
