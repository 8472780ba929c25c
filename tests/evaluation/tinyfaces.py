"""Face models in the form of insightface's, as ONNX: what they answer follows from the mean colour of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluation.onnxfile import node, write_onnx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

STRIDES = (8, 16, 32)
# A face is where a cell is red: sigmoid(12 * (red - green - 1)); red and green run from -1 to 1.
SCORE_WEIGHTS = np.array([[12.0, -12.0, 0.0], [9.0, -9.0, 0.5]], dtype=np.float32)
SCORE_BIAS = np.array([-12.0, -12.0], dtype=np.float32)


def detector_weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Return 1x1 convolutions of each stride for scores, boxes and landmarks: `(2, 3)`, `(8, 3)` and `(20, 3)`, and biases."""
    rng = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {}
    for stride in STRIDES:
        weights[f"score_{stride}"], weights[f"score_bias_{stride}"] = SCORE_WEIGHTS, SCORE_BIAS
        weights[f"box_{stride}"] = rng.normal(0, 0.2, (8, 3)).astype(np.float32)
        weights[f"box_bias_{stride}"] = rng.uniform(1, 2, 8).astype(np.float32)
        weights[f"point_{stride}"] = rng.normal(0, 0.05, (20, 3)).astype(np.float32)
        eyes_and_mouth = np.array([-0.5, -0.4, 0.6, -0.4, 0.0, 0.1, -0.4, 0.6, 0.5, 0.6], dtype=np.float32)
        weights[f"point_bias_{stride}"] = np.tile(eyes_and_mouth, 2)
    return weights


def write_tiny_scrfd(path: Path, *, seed: int = 0) -> Path:
    """Write a detector with SCRFD's outputs: scores, boxes and landmarks of strides 8, 16 and 32, two anchors a cell."""
    pools = [
        node("AveragePool", ["pixels"], f"level_{stride}", kernel_shape=[stride] * 2, strides=[stride] * 2)
        for stride in STRIDES
    ]
    return write_scrfd(path, levels=pools, weights={}, heads=detector_weights(seed))


def write_scrfd(
    path: Path,
    *,
    levels: Sequence[bytes],
    weights: Mapping[str, np.ndarray],
    heads: Mapping[str, np.ndarray],
    score_maps: Mapping[int, np.ndarray] | None = None,
) -> Path:
    """Write a detector whose heads are 1x1 convolutions of `level_8`, `level_16` and `level_32`.

    Args:
        path: of the file.
        levels: what makes these three of `pixels`.
        weights: of that.
        heads: as of `detector_weights`, with as many columns as a level has channels.
        score_maps: added to scores before the sigmoid, by stride: `(1, 2, rows, columns)`.
    """
    shaped, nodes, names = dict(weights), list(levels), []
    for kind, width in (("score", 1), ("box", 4), ("point", 10)):
        shaped[f"{kind}_shape"] = np.array([-1, width], dtype=np.int64)
        for stride in STRIDES:
            name, raw = f"{kind}_{stride}", f"{kind}_{stride}_raw"
            shaped[name] = heads[name][:, :, None, None]
            shaped[f"{kind}_bias_{stride}"] = heads[f"{kind}_bias_{stride}"]
            nodes.append(node("Conv", [f"level_{stride}", name, f"{kind}_bias_{stride}"], raw))
            if kind == "score" and stride in (score_maps or {}):
                shaped[f"map_{stride}"] = (score_maps or {})[stride]
                nodes.append(node("Add", [raw, f"map_{stride}"], f"{raw}_map"))
                raw = f"{raw}_map"
            nodes += [
                node("Sigmoid" if kind == "score" else "Identity", [raw], f"{name}_value"),
                node("Transpose", [f"{name}_value"], f"{name}_last", perm=[0, 2, 3, 1]),
                node("Reshape", [f"{name}_last", f"{kind}_shape"], f"{name}_out"),
            ]
            names.append((f"{name}_out", width))
    return write_onnx(
        path,
        nodes=nodes,
        weights=shaped,
        inputs={"pixels": [1, 3, "height", "width"]},
        outputs={name: ["anchors", width] for name, width in names},
    )


def write_tiny_recogniser(path: Path, *, seed: int = 0, width: int = 16) -> Path:
    """Write a recogniser: `(N, 3, 112, 112)` in, `(N, width)` out, linear in means of 16x16 pixels."""
    matrix = recogniser_matrix(seed=seed, width=width)
    nodes = [
        node("AveragePool", ["face"], "pool", kernel_shape=[16, 16], strides=[16, 16]),
        node("Flatten", ["pool"], "flat", axis=1),
        node("MatMul", ["flat", "matrix"], "vector"),
    ]
    return write_onnx(
        path,
        nodes=nodes,
        weights={"matrix": matrix},
        inputs={"face": ["n", 3, 112, 112]},
        outputs={"vector": ["n", width]},
    )


def recogniser_matrix(*, seed: int = 0, width: int = 16) -> np.ndarray:
    """Return the recogniser's weights, `(147, width) float32`."""
    return np.random.default_rng(seed).normal(0, 1, (147, width)).astype(np.float32)
