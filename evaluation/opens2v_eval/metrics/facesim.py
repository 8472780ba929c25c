"""FaceSim: is the person's face that of the reference image? The cosine of CurricularFace in 32 frames.

    published    negatives to 0; mean over the frames that have a face. As in the released code (1.0 and 1.1), a frame whose
                 cosine is 0 after that leaves CurricularFace's mean too, and stays in ArcFace's
    corrected    negatives to 0; mean over all frames, one without a face counts as 0

The details hold the cosine of each frame, None where it has no face, so that both can be had from them.

Frames on a GPU stay there: faces are fitted, cut out and aligned where the frames are, and what comes to host memory is the
detector's answers, landmarks and vectors. onnxruntime's build for CPUs gets what its models take, 320x320 and 112x112 pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from opens2v_data.errors import MetricError
from opens2v_eval.frames import NUM_LINSPACE_FRAMES, linspace_indices, rgb_arrays, stays_on_device
from opens2v_eval.metrics.base import Values
from opens2v_eval.models.faces import largest_face
from opens2v_eval.scales import applies

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opens2v_eval.frames import Video
    from opens2v_eval.metrics.base import PromptPart
    from opens2v_eval.models.faces import Face, FaceDetector, FaceRecogniser, Picture
    from opens2v_eval.prompts import Prompt
    from opens2v_eval.scales import MetricName

# As the benchmark's authors publish them: insightface's buffalo_l, and CurricularFace (TFace, trained on Glint360K).
DETECTOR = "BestWishYsh/OpenS2V-Weight/face_extractor/models/buffalo_l/det_10g.onnx"
RECOGNISER = "BestWishYsh/OpenS2V-Weight/glint360k_curricular_face_r101_backbone.bin"
ARCFACE = "BestWishYsh/OpenS2V-Weight/face_extractor/models/buffalo_l/w600k_r50.onnx"
# Source: get_image_path_from_json() in upstream's get_facesim.py.
PERSON_FOLDERS = ("/man/", "/woman/", "/crop_man/", "/crop_woman/")


class FaceSim:
    """Likeness of the largest face to the reference's.

    Args:
        detector: an SCRFD with landmarks as `.onnx`: a file, or `OWNER/NAME/FILE` of a Hub repository.
        recogniser: CurricularFace's weights, or a recogniser as `.onnx`, likewise.
        arcface: a second recogniser as `.onnx`, for `arc_score`, which no total counts; "" for none.
        revision: of the repositories.
        num_frames: frames to look at, 32 as published.
    """

    name: MetricName = "facesim"
    looks_at: tuple[PromptPart, ...] = ("images",)

    def __init__(
        self,
        *,
        detector: str = DETECTOR,
        recogniser: str = RECOGNISER,
        arcface: str = ARCFACE,
        revision: str | None = None,
        num_frames: int = NUM_LINSPACE_FRAMES,
    ) -> None:
        self._sources = {"cur": recogniser, "arc": arcface}
        self._detector_source, self._revision, self._num_frames = detector, revision, num_frames
        self._detector: FaceDetector | None = None
        self._recognisers: dict[str, FaceRecogniser] = {}

    def settings(self) -> Mapping[str, Any]:
        """Return the models and the number of frames."""
        return {
            "detector": self._detector_source,
            "recogniser": self._sources["cur"],
            "arcface": self._sources["arc"],
            "revision": self._revision,
            "num_frames": self._num_frames,
        }

    @property
    def providers(self) -> tuple[str, ...]:
        """What ONNX runtime finds faces with, first choice first; empty before `setup`. CPU and GPU differ by some 1e-4."""
        return getattr(self._detector, "providers", ())

    def applies_to(self, prompt: Prompt) -> bool:
        """Return whether the prompt has one person, with a face."""
        return applies(self.name, prompt)

    def setup(self, device: str) -> None:
        """Load the detector and the recognisers.

        Raises:
            MissingExtraError: onnxruntime or torch is not installed.
            MetricError: weights that are not there, or do not fit.
        """
        from opens2v_eval.models.faces_scrfd import Scrfd

        self._detector = Scrfd.load(self._detector_source, device=device, revision=self._revision)
        self._recognisers = {
            name: load_recogniser(source, device=device, revision=self._revision)
            for name, source in self._sources.items()
            if source
        }

    def score(self, video: Video, prompt: Prompt) -> Values:
        """Return `cur_score` and `arc_score`, and both cosines of each frame.

        Raises:
            DecodeError: the video does not give its frames.
            MetricError: the reference image cannot be read, or `setup` was not called.
        """
        if self._detector is None:
            raise MetricError(f"{self.name} of {video.key}: setup(device) comes before score")
        names = [f"{name}_score" for name in self._recognisers]
        reference = read_reference(prompt)
        reference_face = largest_face(self._detector, reference)
        if reference_face is None:  # upstream leaves such a prompt out
            return Values(values=dict.fromkeys(names), details={"reference_has_face": False})
        frames = video.linspace(self._num_frames)
        is_on_device = stays_on_device(frames, self._detector, *self._recognisers.values())
        pictures: Sequence[Picture] = list(frames) if is_on_device else rgb_arrays(frames)
        if is_on_device:
            import torch

            reference = torch.from_numpy(reference).permute(2, 0, 1).to(frames.device)
        faces = [largest_face(self._detector, picture) for picture in pictures]
        cosines = {
            name: _cosines(recogniser, pictures, faces, reference=(reference, reference_face))
            for name, recogniser in self._recognisers.items()
        }
        return Values(
            values={f"{name}_score": published_score(row, drops_zeros=name == "cur") for name, row in cosines.items()},
            details={
                "frame_indices": linspace_indices(video.num_frames, self._num_frames),
                "reference_has_face": True,
                **cosines,
            },
        )

    def close(self) -> None:
        """Let the models go."""
        self._detector, self._recognisers = None, {}


def load_recogniser(source: str, *, device: str, revision: str | None = None) -> FaceRecogniser:
    """Load a recogniser: an ONNX file by its name's end, CurricularFace's weights otherwise.

    Raises:
        MissingExtraError: onnxruntime or torch is not installed.
        MetricError: nothing is there, or it is no such model.
    """
    if source.endswith(".onnx"):
        from opens2v_eval.models.faces_onnx import OnnxRecogniser

        return OnnxRecogniser.load(source, device=device, revision=revision)
    from opens2v_eval.models.faces_curricular import CurricularFace

    return CurricularFace.load(source, device=device, revision=revision)


def published_score(cosines: Sequence[float | None], *, drops_zeros: bool) -> float:
    """Return the leaderboard's number.

    Args:
        cosines: of each frame, negatives set to 0; None without a face.
        drops_zeros: leave zeros out of the mean, as the released code does for CurricularFace.

    Returns:
        0 where nothing is left.
    """
    counted = [value for value in cosines if value is not None and not (drops_zeros and value == 0)]
    return sum(counted) / len(counted) if counted else 0.0


def read_reference(prompt: Prompt) -> np.ndarray:
    """Return the reference image of the prompt's person, `(H, W, 3) uint8 RGB`: the first in a folder of men or women.

    Raises:
        MetricError: the prompt has none, it is not there, or it is no image.
    """
    from PIL import Image

    for name, path in zip(prompt.image_names, prompt.image_paths, strict=True):
        if any(folder in name for folder in PERSON_FOLDERS):
            try:
                with Image.open(path) as image:
                    return np.array(image.convert("RGB"))
            except OSError as error:
                raise MetricError(
                    f"{prompt.key}: expected its reference image {name} at {path}: {error}; "
                    "fetch the images of the prompts' dataset beside its JSON files"
                ) from error
    raise MetricError(
        f"{prompt.key}: expected a reference image of a person, in a folder of {', '.join(PERSON_FOLDERS)}; "
        f"it has {', '.join(prompt.image_names)}"
    )


def _cosines(
    recogniser: FaceRecogniser,
    pictures: Sequence[Picture],
    faces: Sequence[Face | None],
    *,
    reference: tuple[Picture, Face],
) -> list[float | None]:
    """Return a frame's likeness to the reference, negatives set to 0; None where it has no face."""
    found = [(place, face) for place, face in enumerate(faces) if face is not None]
    aligned = [recogniser.align(reference[0], reference[1].landmarks)]
    aligned += [recogniser.align(pictures[place], face.landmarks) for place, face in found]
    vectors = recogniser.embed(aligned)
    cosines: list[float | None] = [None] * len(pictures)
    for (place, _), value in zip(found, (vectors[1:] @ vectors[0]).tolist(), strict=True):
        cosines[place] = max(value, 0.0)
    return cosines
