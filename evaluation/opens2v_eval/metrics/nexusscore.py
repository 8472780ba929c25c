"""NexusScore: is the subject of each reference image in the video, and does it look like it?

    32 frames x references ──detector──▶ boxes (score > 0.5, NMS 0.7)
                                           │ kept: score > 0.6, GME(label, crop) > 0.30
                                           ▼
                                     GME(reference, crop)

    published    mean over all kept boxes / number of frames in which any reference had any box, kept or not; 0 if none is kept
    corrected    mean over references of the mean over frames; a frame without a kept box counts as 0

The published number falls as a subject is found in more frames: 1/32 of the same cosines for one in all frames than for one
in a single frame. The details hold what the corrected one is made of. The released code of version 1.0 counted each reference
of a frame; 1.1, the one here, counts the frame once.

Frames on a GPU stay there where the detector and GME take tensors: crops are views of them, and what comes to host memory is
boxes and vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opens2v_data.errors import MetricError
from opens2v_eval.frames import NUM_LINSPACE_FRAMES, linspace_indices, rgb_arrays, stays_on_device
from opens2v_eval.metrics.base import Values
from opens2v_eval.models.detector import STAND_IN_DETECTOR, load_detector, picture_size
from opens2v_eval.models.gme import PUBLISHED_GME, RETRIEVAL_INSTRUCTION, Gme
from opens2v_eval.scales import applies, nexus_references

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from PIL import Image

    from opens2v_eval.frames import Video
    from opens2v_eval.metrics.base import PromptPart
    from opens2v_eval.models.detector import Boxes, ImagePromptedDetector
    from opens2v_eval.models.gme import Embedder
    from opens2v_eval.prompts import Prompt
    from opens2v_eval.scales import MetricName

# Source: get_nexusscore.py of upstream, version 1.1.
MIN_CONFIDENCE = 0.6
MIN_TEXT_COSINE = 0.30


@dataclass(frozen=True, kw_only=True)
class Found:
    """A box that the detector proposed.

    Attributes:
        frame: place among the frames looked at.
        reference: place among the references looked for.
        confidence: the detector's score.
        text_cosine: GME of the label and the crop.
        image_cosine: GME of the reference image and the crop.
    """

    frame: int
    reference: int
    confidence: float
    text_cosine: float
    image_cosine: float

    @property
    def is_kept(self) -> bool:
        """Whether it shows the subject: all three numbers as upstream wants them."""
        return self.confidence > MIN_CONFIDENCE and self.text_cosine > MIN_TEXT_COSINE and self.image_cosine != 0


class NexusScore:
    """Likeness of detected subjects to their reference images.

    Args:
        detector: Hub id or folder of an OWLv2, or `package.module:Class`, see `opens2v_eval.models.detector`. The default is
            not the published model, and its scores are not comparable with the leaderboard's.
        detector_revision: of its repository.
        gme: Hub id or folder of GME; the published scores are by the 7B model.
        gme_revision: of its repository.
        batch_size: crops per pass of GME.
        num_frames: frames to look at, 32 as published.
        embedder: a model that is loaded already, instead of `gme`; it is kept by `close`.
    """

    name: MetricName = "nexusscore"
    looks_at: tuple[PromptPart, ...] = ("images",)

    def __init__(
        self,
        *,
        detector: str = STAND_IN_DETECTOR,
        detector_revision: str | None = None,
        gme: str = PUBLISHED_GME,
        gme_revision: str | None = None,
        batch_size: int = 8,
        num_frames: int = NUM_LINSPACE_FRAMES,
        embedder: Embedder | None = None,
    ) -> None:
        self._detector_source, self._detector_revision = detector, detector_revision
        self._gme, self._gme_revision, self._batch_size = gme, gme_revision, batch_size
        self._num_frames = num_frames
        self._given = embedder
        self._embedder: Embedder | None = embedder
        self._detector: ImagePromptedDetector | None = None

    def settings(self) -> Mapping[str, Any]:
        """Return the models, the thresholds and the number of frames."""
        return {
            "detector": self._detector_source,
            "detector_revision": self._detector_revision,
            "gme": self._gme,
            "gme_revision": self._gme_revision,
            "min_confidence": MIN_CONFIDENCE,
            "min_text_cosine": MIN_TEXT_COSINE,
            "num_frames": self._num_frames,
        }

    def applies_to(self, prompt: Prompt) -> bool:
        """Return whether a reference image shows an object or a body."""
        return applies(self.name, prompt)

    def setup(self, device: str) -> None:
        """Load the detector and GME.

        Raises:
            MissingExtraError: transformers or torch is not installed.
            MetricError: weights that are not there, or do not fit.
        """
        self._detector = load_detector(self._detector_source, device=device, revision=self._detector_revision)
        if self._given is None:
            self._embedder = Gme.load(
                self._gme, revision=self._gme_revision, device=device, batch_size=self._batch_size
            )

    def score(self, video: Video, prompt: Prompt) -> Values:
        """Return `nexus_score` of the published mode, and per reference the mean cosine in each frame.

        Raises:
            DecodeError: the video does not give its frames.
            MetricError: a reference image cannot be read, or `setup` was not called.
        """
        from PIL import Image

        if self._detector is None or self._embedder is None:
            raise MetricError(f"{self.name} of {video.key}: setup(device) comes before score")
        wanted = nexus_references(prompt)
        frames: Any = video.linspace(self._num_frames)
        if not stays_on_device(frames, self._detector, self._embedder):
            frames = [Image.fromarray(frame) for frame in rgb_arrays(frames)]
        references = [open_reference(prompt, index) for index, _ in wanted]
        boxes = self._detector.detect(frames, references)
        found = self._judged(boxes, frames, references, labels=[label for _, label in wanted])
        return Values(
            values={"nexus_score": published_score(found, frames_with_boxes=sum(any(map(len, row)) for row in boxes))},
            details={
                "frame_indices": linspace_indices(video.num_frames, self._num_frames),
                "references": [
                    {
                        "image": index,
                        "label": label,
                        "frames": frame_means(found, reference=place, num_frames=len(frames)),
                    }
                    for place, (index, label) in enumerate(wanted)
                ],
                "boxes": [
                    [
                        box.frame,
                        box.reference,
                        round(box.confidence, 4),
                        round(box.text_cosine, 4),
                        round(box.image_cosine, 4),
                    ]
                    for box in found
                ],
            },
        )

    def close(self) -> None:
        """Let the models go."""
        self._detector = None
        self._embedder = self._given

    def _judged(
        self,
        boxes: Sequence[Sequence[Boxes]],
        frames: Sequence[Image.Image] | torch.Tensor,
        references: Sequence[Image.Image],
        *,
        labels: Sequence[str],
    ) -> list[Found]:
        """Return every box with its cosines; a label or reference is embedded once, however many boxes it has."""
        assert self._embedder is not None
        places = [
            (frame, reference, place)
            for frame, row in enumerate(boxes)
            for reference, found in enumerate(row)
            for place in range(len(found))
        ]
        if not places:
            return []
        crops = [
            _crop(frames[frame], boxes[frame][reference].xyxy[place].tolist()) for frame, reference, place in places
        ]
        crop_vectors = self._embedder.embed_images(crops)
        text_vectors = self._embedder.embed_texts(labels, instruction=RETRIEVAL_INSTRUCTION)
        image_vectors = self._embedder.embed_images(references)
        owners = [reference for _, reference, _ in places]
        text_cosines = (crop_vectors * text_vectors[owners]).sum(dim=-1).tolist()
        image_cosines = (crop_vectors * image_vectors[owners]).sum(dim=-1).tolist()
        return [
            Found(
                frame=frame,
                reference=reference,
                confidence=float(boxes[frame][reference].scores[place]),
                text_cosine=text_cosine,
                image_cosine=image_cosine,
            )
            for (frame, reference, place), text_cosine, image_cosine in zip(
                places, text_cosines, image_cosines, strict=True
            )
        ]


def published_score(found: Sequence[Found], *, frames_with_boxes: int) -> float:
    """Return the leaderboard's number: the mean cosine of kept boxes over the number of frames that had any box.

    Args:
        found: all boxes.
        frames_with_boxes: frames in which any reference had any box, kept or not.

    Returns:
        0 where no box is kept, which leaves the prompt out of the published mean.
    """
    kept = [box.image_cosine for box in found if box.is_kept]
    return sum(kept) / len(kept) / frames_with_boxes if kept else 0.0


def frame_means(found: Sequence[Found], *, reference: int, num_frames: int) -> list[float | None]:
    """Return for each frame the mean cosine of a reference's kept boxes; None where none is kept."""
    kept: list[list[float]] = [[] for _ in range(num_frames)]
    for box in found:
        if box.reference == reference and box.is_kept:
            kept[box.frame].append(box.image_cosine)
    return [sum(cosines) / len(cosines) if cosines else None for cosines in kept]


def open_reference(prompt: Prompt, index: int) -> Image.Image:
    """Return a reference image.

    Raises:
        MetricError: it is not there, or is no image.
    """
    from PIL import Image

    path = prompt.image_paths[index]
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise MetricError(
            f"{prompt.key}: expected its reference image {prompt.image_names[index]} at {path}: {error}; "
            "fetch the images of the prompts' dataset beside its JSON files"
        ) from error


def _crop(frame: Image.Image | torch.Tensor, xyxy: Sequence[float]) -> Image.Image | torch.Tensor:
    """Cut a box out of a frame, to whole pixels as PIL rounds them, and at least one."""
    from PIL import Image

    width, height = picture_size(frame)
    left, top, right, bottom = (round(value) for value in xyxy)
    left, top = min(left, width - 1), min(top, height - 1)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    if isinstance(frame, Image.Image):
        return frame.crop((left, top, right, bottom))
    return frame[:, top:bottom, left:right]
