"""CurricularFace, the recogniser of the published FaceSim: an IR-101 in PyTorch.

    (N, 3, 112, 112) ─conv─▶ 64 ──3 blocks──▶ 64x56x56 ──13──▶ 128x28x28 ──30──▶ 256x14x14 ──3──▶ 512x7x7 ──linear──▶ 512

Huang et al., CurricularFace: Adaptive Curriculum Learning Loss for Deep Face Recognition (2020). Names of the weights are those
of `glint360k_curricular_face_r101_backbone.bin` (TFace's model_irse), so that it loads as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import nn

from opens2v_data.errors import MetricError
from opens2v_eval.models.faces_onnx import MAX_BATCH, aligned_small, stacked, unit_rows
from opens2v_eval.models.loading import resolve_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from opens2v_eval.models.faces import Picture

# Blocks per stage: 49 blocks of two convolutions, the first convolution, the linear layer, and one for the name: IR-101.
STAGES = (3, 13, 30, 3)
WIDTHS = (64, 128, 256, 512)
# get_facesim.py aligns at 224 pixels and resizes to 112.
OVERSIZE = 2


class Block(nn.Module):
    """Two convolutions and a shortcut: `BasicBlockIR` of TFace, or without `middle_norm` the older `bottleneck_IR`."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, middle_norm: bool = True) -> None:
        super().__init__()
        if inputs == outputs:
            self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            *([nn.BatchNorm2d(outputs)] if middle_norm else []),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of both ways."""
        return self.shortcut_layer(x) + self.res_layer(x)


class Ir101(nn.Module):
    """IR-101 for faces of 112x112.

    Args:
        stages: blocks per stage; others than the published numbers make a smaller or larger model.
        widths: channels per stage.
        middle_norm: whether a block normalises between its convolutions; TFace's does.
        affine_output: whether the last normalisation has weights; TFace's has none.
    """

    def __init__(
        self,
        *,
        stages: Sequence[int] = STAGES,
        widths: Sequence[int] = WIDTHS,
        middle_norm: bool = True,
        affine_output: bool = False,
    ) -> None:
        super().__init__()
        first, last = widths[0], widths[-1]
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, first, 3, 1, 1, bias=False), nn.BatchNorm2d(first), nn.PReLU(first)
        )
        blocks, inputs = [], first
        for count, outputs in zip(stages, widths, strict=True):
            blocks += [
                Block(inputs if place == 0 else outputs, outputs, stride=1 if place else 2, middle_norm=middle_norm)
                for place in range(count)
            ]
            inputs = outputs
        self.body = nn.Sequential(*blocks)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(last),
            nn.Dropout(0.4),
            nn.Flatten(),
            nn.Linear(last * 7 * 7, 512),
            nn.BatchNorm1d(512, affine=affine_output),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `(N, 512)`, not normalised, for `(N, 3, 112, 112)` RGB in [-1, 1]."""
        return self.output_layer(self.body(self.input_layer(x)))


class CurricularFace:
    """CurricularFace with its weights loaded.

    Args:
        model: an `Ir101`.
        device: where it runs.
    """

    takes_tensors = True

    def __init__(self, model: Ir101, *, device: str = "cpu") -> None:
        self._model = model.to(device).eval()
        self._device = device

    @classmethod
    def load(
        cls,
        source: str,
        *,
        device: str = "cpu",
        revision: str | None = None,
        stages: Sequence[int] = STAGES,
        widths: Sequence[int] = WIDTHS,
    ) -> Self:
        """Load weights.

        Args:
            source: a file, or `OWNER/NAME/FILE` of a Hub repository: a state dict as torch saves it, or safetensors.
            device: where it runs.
            revision: of the repository.
            stages, widths: of the model.

        Raises:
            MetricError: nothing is there, or it is no such model.
        """
        path = resolve_file(source, what="FaceSim's recogniser", revision=revision)
        weights = read_weights(path)
        model = Ir101(
            stages=stages,
            widths=widths,
            middle_norm="body.0.res_layer.5.weight" in weights,
            affine_output="output_layer.4.weight" in weights,
        )
        try:
            missing, strange = model.load_state_dict(weights, strict=False)
        except RuntimeError as error:
            raise MetricError(f"expected weights of CurricularFace's IR-101 at {path}: {error}") from error
        missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        if missing or strange:
            told = ", ".join([*(f"no {name}" for name in missing[:2]), *(f"a strange {name}" for name in strange[:2])])
            raise MetricError(
                f"expected weights of CurricularFace's IR-101 at {path}, found {told} ({len(missing)} missing, {len(strange)} "
                "strange): give glint360k_curricular_face_r101_backbone.bin, or a recogniser as .onnx"
            )
        return cls(model, device=device)

    def align(self, picture: Picture, landmarks: np.ndarray) -> Picture:
        """Return the face as `(112, 112, 3) uint8 RGB`, aligned at twice the size as upstream does.

        Of a tensor: as `(3, 112, 112)`, on its device.
        """
        return aligned_small(picture, landmarks, oversize=OVERSIZE)

    def embed(self, faces: Sequence[Picture]) -> np.ndarray:
        """Return `(N, 512) float32`, L2-normalised, in host memory."""
        if not len(faces):
            return np.zeros((0, 512), dtype=np.float32)
        rows = []
        with torch.inference_mode():
            for start in range(0, len(faces), MAX_BATCH):
                levels = torch.as_tensor(stacked(faces[start : start + MAX_BATCH])).to(self._device)
                rows.append(self._model(levels.div(255).sub(0.5).div(0.5)).float().cpu().numpy())
        return unit_rows(np.concatenate(rows))


def read_weights(path: Path) -> Mapping[str, torch.Tensor]:
    """Read a state dict; pickled code is not run.

    Raises:
        MetricError: the file holds none.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise MetricError(f"expected a state dict at {path}, could not read one: {error}") from error
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise MetricError(f"expected a state dict at {path}, found {type(found).__name__}")
    return {name.removeprefix("module."): value for name, value in found.items()}
