"""Prompts, reference images and videos for tests of metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opens2v_eval.frames import Video
from opens2v_eval.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from PIL import Image


def write_prompt(
    folder: Path, key: str, *images: tuple[str, str, Image.Image], prompt: str = "a red dog runs"
) -> Prompt:
    """Write reference images, given as name, class label and picture, and return their prompt."""
    for name, _, image in images:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name)
    return Prompt(
        key=key,
        prompt=prompt,
        image_names=tuple(name for name, _, _ in images),
        image_paths=tuple(folder / name for name, _, _ in images),
        class_labels=tuple(label for _, label, _ in images),
    )


class PictureVideo(Video):
    """A video of given pictures, without a codec between: what a metric sees is exactly these."""

    def __init__(self, pictures: Sequence[np.ndarray], *, key: str) -> None:
        super().__init__(b"", key=key)
        self._pictures = pictures

    @property
    def num_frames(self) -> int:
        """Frames in the video."""
        return len(self._pictures)

    @property
    def width(self) -> int:
        """Pixels."""
        return self._pictures[0].shape[1]

    @property
    def height(self) -> int:
        """Pixels."""
        return self._pictures[0].shape[0]

    def _read(self, indices: tuple[int, ...]):
        import numpy as np
        import torch

        return torch.from_numpy(np.stack([self._pictures[index] for index in indices])).permute(0, 3, 1, 2)
