"""How beautiful are pictures? CLIP's embedding, of length 1, through LAION's head: sac+logos+ava1-l14-linearMSE.

The head has five linear layers and nothing between them but dropout, which is off here. In float32, as published.
"""

from __future__ import annotations

from itertools import pairwise
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import torch
from torch import nn

from opens2v_data.errors import MetricError
from opens2v_eval.models.loading import load_pretrained, resolve_file, transformers_for
from opens2v_eval.models.pixels import clip_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHAT = "Aesthetics"
# github.com/christophschuhmann/improved-aesthetic-predictor, simple_inference.py: places of the linear layers between dropouts.
_LINEAR_PLACES = (0, 2, 4, 6, 7)
_DROPOUTS = {1: 0.2, 3: 0.2, 5: 0.1}


class AestheticHead(nn.Module):
    """LAION's head, of the sizes that its weights have (768, 1024, 128, 64, 16, 1 as published).

    Args:
        sizes: of the embedding, and of what each layer gives.
    """

    def __init__(self, sizes: tuple[int, ...] = (768, 1024, 128, 64, 16, 1)) -> None:
        super().__init__()
        linear = iter(nn.Linear(before, after) for before, after in pairwise(sizes))
        self.layers = nn.Sequential(
            *(next(linear) if place in _LINEAR_PLACES else nn.Dropout(_DROPOUTS[place]) for place in range(8))
        )

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return `(T, 1)` of `(T, size)`."""
        return self.layers(embeddings)


def load_head(source: str, *, revision: str | None = None) -> AestheticHead:
    """Load the head.

    Args:
        source: a `.pth` or `.safetensors` file, or `OWNER/NAME/FILE` of a Hub repository.

    Raises:
        MetricError: no such file, or no such head in it.
    """
    path = resolve_file(source, what=_WHAT, revision=revision)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            weights: Mapping[str, torch.Tensor] = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, UnpicklingError, EOFError) as error:
        raise MetricError(
            f"{_WHAT}: {path} holds no weights that can be read safely: {error}; fetch it again"
        ) from error
    names = [f"layers.{place}.weight" for place in _LINEAR_PLACES]
    if any(name not in weights or weights[name].ndim != 2 for name in names):
        raise MetricError(
            f"{_WHAT}: expected the five linear layers of LAION's head ({', '.join(names)}) in {path}, found "
            f"{', '.join(sorted(weights)[:6]) or 'nothing'}; name sac+logos+ava1-l14-linearMSE.pth, or a copy of it"
        )
    head = AestheticHead((weights[names[0]].shape[1], *(weights[name].shape[0] for name in names)))
    try:
        head.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise MetricError(f"{_WHAT}: the layers in {path} do not fit each other: {error}") from error
    return head.eval().requires_grad_(False).float()


class ClipAesthetics:
    """CLIP and the head, on a device.

    Args:
        clip: Hub id or folder of a CLIP model; its vision half is loaded.
        head: see `load_head`.
        device: where both are.
        revision: of CLIP's repository.
        at_once: frames in one pass.

    Raises:
        MissingExtraError: transformers or torch is not installed.
        MetricError: weights that are not there, or do not fit each other.
    """

    def __init__(self, *, clip: str, head: str, device: str, revision: str | None = None, at_once: int = 32) -> None:
        kind = transformers_for(_WHAT).CLIPVisionModelWithProjection
        self._clip = load_pretrained(kind, clip, what=_WHAT, revision=revision, dtype=torch.float32).to(device)
        self._head = load_head(head).to(device)
        self._size: int = self._clip.config.image_size
        self._at_once = at_once
        given, taken = self._clip.config.projection_dim, self._head.layers[0].in_features
        if given != taken:
            raise MetricError(
                f"{_WHAT}: embeddings of {clip!r} have {given} numbers, and the head {head!r} takes {taken}; "
                "the published pair is openai/clip-vit-large-patch14 and sac+logos+ava1-l14-linearMSE"
            )

    @torch.inference_mode()
    def scores(self, frames: torch.Tensor) -> torch.Tensor:
        """Return `(T,) float32`, on the device, of frames `(T, 3, H, W) uint8 RGB`."""
        return torch.cat([self._of(part) for part in frames.split(self._at_once)])

    def _of(self, frames: torch.Tensor) -> torch.Tensor:
        embeddings = self._clip(pixel_values=clip_pixels(frames, size=self._size)).image_embeds
        embeddings = embeddings / torch.linalg.vector_norm(embeddings, dim=-1, keepdim=True)
        return self._head(embeddings).squeeze(1)
