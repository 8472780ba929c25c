"""ONNX runtime sessions for face models, and face recognisers that are ONNX files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from opens2v_data.errors import MetricError, MissingExtraError
from opens2v_eval.models.faces_align import ALIGNED_SIDE, align_face, align_on_device
from opens2v_eval.models.loading import resolve_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from opens2v_eval.models.faces import Picture

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
    takes_tensors = True
    """It takes pictures on their device, too, see `frames.stays_on_device`."""

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

    def _answers(self, outputs: Sequence[str], pixels: Picture) -> list[np.ndarray]:
        """Return what the model answers to its one input, float32, in host memory; a tensor is read where it lies.

        A tensor in a GPU's memory that the session does not compute on, because onnxruntime is its build for CPUs, goes to host
        memory first.
        """
        if isinstance(pixels, np.ndarray):
            return [np.asarray(answer) for answer in self._session.run(list(outputs), {self._input: pixels})]
        if pixels.is_cuda and self.providers[0] != "CUDAExecutionProvider":
            pixels = pixels.cpu()
        pixels = pixels.contiguous()
        if pixels.is_cuda:
            import torch

            # onnxruntime computes on a stream of its own: what torch still has to do for these pixels comes first.
            torch.cuda.current_stream(pixels.device).synchronize()
        binding = self._session.io_binding()
        binding.bind_input(
            name=self._input,
            device_type=pixels.device.type,
            device_id=pixels.device.index or 0,
            element_type=np.float32,
            shape=tuple(pixels.shape),
            buffer_ptr=pixels.data_ptr(),
        )
        for name in outputs:
            binding.bind_output(name)
        self._session.run_with_iobinding(binding)
        return [np.asarray(answer) for answer in binding.copy_outputs_to_cpu()]


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

    def align(self, picture: Picture, landmarks: np.ndarray) -> Picture:
        """Return the face as `(112, 112, 3) uint8 RGB`, of a tensor as `(3, 112, 112)` on its device."""
        return aligned_small(picture, landmarks, oversize=self._oversize)

    def embed(self, faces: Sequence[Picture]) -> np.ndarray:
        """Return `(N, D) float32`, L2-normalised, in host memory."""
        if not len(faces):
            return np.zeros((0, 0), dtype=np.float32)
        rows = [
            self._answers([self._output], (stacked(faces[start : start + MAX_BATCH]) - self._mean) / self._std)[0]
            for start in range(0, len(faces), MAX_BATCH)
        ]
        return unit_rows(np.concatenate(rows))


def aligned_small(picture: Picture, landmarks: np.ndarray, *, oversize: int = 1) -> Picture:
    """Align a face at a multiple of 112 pixels, and shrink it to 112; a tensor stays on its device."""
    side, small = ALIGNED_SIDE * oversize, (ALIGNED_SIDE, ALIGNED_SIDE)
    if isinstance(picture, np.ndarray):
        import cv2

        face = align_face(picture, landmarks, side=side)
        return face if oversize == 1 else cv2.resize(face, small)
    from opens2v_eval.models.pixels import resize_bilinear

    return resize_bilinear(align_on_device(picture, landmarks, side=side)[None], small)[0]


def stacked(faces: Sequence[Picture]) -> Any:
    """Return faces, all arrays or all tensors, as `(N, 3, H, W) float32` of levels, where they are."""
    arrays = [face for face in faces if isinstance(face, np.ndarray)]
    if len(arrays) == len(faces):
        return np.stack(arrays).astype(np.float32).transpose(0, 3, 1, 2)
    import torch

    return torch.stack([face for face in faces if isinstance(face, torch.Tensor)]).float()


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Return rows of length 1."""
    vectors = vectors.astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
