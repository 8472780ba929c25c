"""ONNX runtime sessions for face models, and face recognisers that are ONNX files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from opens2v_data.errors import MetricError, MissingExtraError
from opens2v_eval.models.faces_align import ALIGNED_SIDE, align_face
from opens2v_eval.models.loading import resolve_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_BATCH = 64


def open_session(path: Path, *, device: str = "cpu") -> Any:
    """Open a model.

    Args:
        path: an `.onnx` file.
        device: `cpu`, `cuda` or `cuda:1`. Without onnxruntime's build for GPUs it runs on the CPU, as `get_providers()` says.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        MetricError: the file is no model that it can run.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(package="onnxruntime", extra="eval", needed_for="face models") from error

    kind, _, index = device.partition(":")
    wanted: list[Any] = ["CPUExecutionProvider"]
    if kind == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        wanted.insert(0, ("CUDAExecutionProvider", {"device_id": int(index or 0)}))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: a library prints nothing
    try:
        return onnxruntime.InferenceSession(str(path), sess_options=options, providers=wanted)
    except Exception as error:
        raise MetricError(f"expected an ONNX model at {path}, onnxruntime cannot open it: {error}") from error


class OnnxModel:
    """A model in an ONNX file.

    Args:
        session: an ONNX runtime session.
    """

    what = "an ONNX model"
    """What it is, for messages."""

    def __init__(self, session: Any) -> None:
        self._session, self._input = session, session.get_inputs()[0].name

    @classmethod
    def load(cls, source: str, *, device: str = "cpu", revision: str | None = None, **options: Any) -> Self:
        """Load a model.

        Args:
            source: a file, or `OWNER/NAME/FILE` of a Hub repository.
            device: `cpu` or `cuda`.
            revision: of the repository.
            options: of the class.

        Raises:
            MissingExtraError: onnxruntime is not installed.
            MetricError: nothing is there, or it is no such model.
        """
        return cls(open_session(resolve_file(source, what=cls.what, revision=revision), device=device), **options)

    @property
    def providers(self) -> tuple[str, ...]:
        """What ONNX runtime runs the model with, first choice first."""
        return tuple(self._session.get_providers())


class OnnxRecogniser(OnnxModel):
    """A recogniser in insightface's form (`w600k_r50.onnx`): `(N, 3, 112, 112)` RGB in, `(N, D)` out.

    Args:
        session: an ONNX runtime session.
        mean, std: pixels enter as `(value - mean) / std`. 127.5 is right for models exported from PyTorch; the older MXNet
            ones, which subtract inside, want 0 and 1.
        oversize: the face is aligned at so many times 112 pixels, then shrunk.
    """

    what = "FaceSim's recogniser"

    def __init__(self, session: Any, *, mean: float = 127.5, std: float = 127.5, oversize: int = 1) -> None:
        outputs = session.get_outputs()
        if len(outputs) != 1:
            raise MetricError(f"expected a face recogniser with one output, not {len(outputs)}")
        super().__init__(session)
        self._output = outputs[0].name
        self._mean, self._std, self._oversize = mean, std, oversize

    def align(self, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Return the face as `(112, 112, 3) uint8 RGB`."""
        return aligned_small(picture, landmarks, oversize=self._oversize)

    def embed(self, faces: Sequence[np.ndarray]) -> np.ndarray:
        """Return `(N, D) float32`, L2-normalised."""
        if not faces:
            return np.zeros((0, 0), dtype=np.float32)
        pixels = ((np.stack(faces).astype(np.float32) - self._mean) / self._std).transpose(0, 3, 1, 2)
        rows = [
            np.asarray(self._session.run([self._output], {self._input: pixels[start : start + MAX_BATCH]})[0])
            for start in range(0, len(pixels), MAX_BATCH)
        ]
        return unit_rows(np.concatenate(rows))


def aligned_small(picture: np.ndarray, landmarks: np.ndarray, *, oversize: int = 1) -> np.ndarray:
    """Align a face at a multiple of 112 pixels, and shrink it to 112."""
    import cv2

    face = align_face(picture, landmarks, side=ALIGNED_SIDE * oversize)
    return face if oversize == 1 else cv2.resize(face, (ALIGNED_SIDE, ALIGNED_SIDE))


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Return rows of length 1."""
    vectors = vectors.astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
