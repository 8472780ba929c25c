"""The rows of a plan as a map-style dataset, for those who want `torch.utils.data.DataLoader`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Dataset

from opens2v_loaders.samples import Item, videos_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opens2v_loaders.plan import Plan
    from opens2v_loaders.samples import Recipe, RowSource
    from opens2v_loaders.subjects import Picture


class ClipDataset(Dataset[dict[str, Any]]):
    """Element i is row i of `plan.rows`; shuffling, ranks and skipping are the caller's.

    Every element is read and decoded by itself: tables cost more than in a `ClipLoader`, which reads rows of many batches
    at once. It can be pickled to workers if the catalog can.

    Attributes:
        epoch: of what is random in a sample; `set_epoch`.
    """

    def __init__(self, rows: RowSource, plan: Plan, recipe: Recipe) -> None:
        self._rows, self._plan_rows, self._recipe = rows, plan.rows, recipe
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._plan_rows)

    def set_epoch(self, epoch: int) -> None:
        """Draw frames and crops anew, as a `ClipLoader` does in that epoch."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one sample.

        Returns:
            `video` `(T, 3, H, W) uint8`, `caption`, `key`, `part`, `source`, `row`, `frame_indices` `(T,) int64`, and pictures,
            `(N, C, H, W) uint8`, N as many as there are: `subjects`, `partners`, `views`, `foregrounds`, `backgrounds`.

        Raises:
            IndexError: no such element.
            DecodeError, ArchiveError: its clip is bad.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in [0, {len(self)}), not {index}")
        source = self._plan_rows.source_names[self._plan_rows.sources[index]]
        row = int(self._plan_rows.rows[index])
        (values,) = self._rows.rows_of([row], config=source, with_subjects=self._recipe.subjects is not None)
        item = Item.from_row(source, row, values)
        video = torch.empty(self._recipe.shape, dtype=torch.uint8, device=self._recipe.device)
        videos = videos_of(item, self._rows.read_bytes)
        sample = self._recipe.make(item, videos, epoch=self.epoch, out=video, read_file=self._rows.read_file)
        shape = self._recipe.subjects.picture_shape if self._recipe.subjects else (3, 0, 0)
        frame_shape = tuple(video.shape[-3:])
        clip = item.triple.clip
        return {
            "video": video,
            "caption": clip.caption,
            "key": clip.key,
            "part": clip.part,
            "source": source,
            "row": row,
            "frame_indices": torch.from_numpy(sample.frame_indices),
            "subjects": _stacked(sample.subjects, shape),
            "partners": _stacked(sample.partners, shape),
            "views": _stacked(sample.views, shape),
            "foregrounds": _stacked(sample.foregrounds, frame_shape),
            "backgrounds": _stacked(sample.backgrounds, frame_shape),
        }


def _stacked(pictures: Sequence[Picture], shape: tuple[int, ...]) -> torch.Tensor:
    if not pictures:
        return torch.empty((0, *shape), dtype=torch.uint8)
    return torch.stack([torch.from_numpy(picture.pixels) for picture in pictures])
