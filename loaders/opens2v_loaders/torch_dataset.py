"""The rows of a plan as a map-style dataset, for those who want `torch.utils.data.DataLoader`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Dataset

from opens2v_loaders.samples import Item, videos_of

if TYPE_CHECKING:
    from opens2v_loaders.plan import Plan
    from opens2v_loaders.samples import Recipe, RowSource


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
            `video` `(T, 3, H, W) uint8`, `caption`, `key`, `part`, `source`, `row`, `frame_indices` `(T,) int64`, and `subjects`,
            `(N, 3, H, W) uint8`, N as many as there are.

        Raises:
            IndexError: no such element.
            DecodeError, ArchiveError: its clip is bad.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in [0, {len(self)}), not {index}")
        source = self._plan_rows.source_names[self._plan_rows.sources[index]]
        row = int(self._plan_rows.rows[index])
        (values,) = self._rows.rows_of([row], config=source)
        item = Item.from_row(source, row, values)
        video = torch.empty(self._recipe.shape, dtype=torch.uint8, device=self._recipe.device)
        videos = videos_of(item, self._rows.read_bytes)
        sample = self._recipe.make(item, videos, epoch=self.epoch, out=video, read_file=self._rows.read_file)
        pictures = [torch.from_numpy(picture.rgb) for picture in sample.subjects]
        size = self._recipe.subjects.size if self._recipe.subjects else (0, 0)
        clip = item.triple.clip
        return {
            "video": video,
            "caption": clip.caption,
            "key": clip.key,
            "part": clip.part,
            "source": source,
            "row": row,
            "frame_indices": torch.from_numpy(sample.frame_indices),
            "subjects": torch.stack(pictures) if pictures else torch.empty((0, 3, *size), dtype=torch.uint8),
        }
