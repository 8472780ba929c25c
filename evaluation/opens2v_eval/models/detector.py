"""Where in a frame is the thing of a reference image? Boxes of an image-prompted open-vocabulary detector.

**Not the published model.** Upstream uses YOLO-World with an adapter for image prompts
(`yolo_world_v2_l_image_prompt_adapter-719a7afb.pth`), which exists for mmyolo only. The default here is OWLv2's image-guided
detection, a documented stand-in: NexusScore by it is **not comparable with the leaderboard's**. Whoever has the published
model gives a class of their own, `package.module:Class`, that is an `ImagePromptedDetector`.

Frames are PIL pictures, or a tensor on its device for a detector whose class says `takes_tensors = True`, as OWLv2's here does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

import numpy as np

from opens2v_data.errors import MetricError, MissingExtraError
from opens2v_eval.models.checkpoints import explained
from opens2v_eval.models.detector_pixels import owlv2_pixels
from opens2v_eval.models.loading import load_pretrained

if TYPE_CHECKING:
    import torch
    from PIL import Image

    Frames: TypeAlias = Sequence[Image.Image] | torch.Tensor

STAND_IN_DETECTOR = "google/owlv2-base-patch16-ensemble"
# Source: yoloworld_inference() in upstream's get_nexusscore.py.
SCORE_THRESHOLD = 0.5
NMS_THRESHOLD = 0.7
MAX_BOXES = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Boxes:
    """Boxes in one frame, best first.

    Attributes:
        xyxy: `(N, 4) float32`: left, top, right, bottom in pixels of the frame, within it.
        scores: `(N,) float32` in [0, 1].
    """

    xyxy: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        if self.xyxy.shape != (len(self.scores), 4):
            raise ValueError(f"expected 4 numbers for each of {len(self.scores)} boxes, not {self.xyxy.shape}")

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        return f"Boxes({len(self)})"


class ImagePromptedDetector(Protocol):
    """What NexusScore needs of a detector. A class of one's own is made by `Class(device="cuda")`."""

    def detect(self, frames: Any, references: Sequence[Image.Image]) -> list[list[Boxes]]:
        """Return boxes for each frame, and in it for each reference: score above 0.5, NMS 0.7, at most 100 boxes.

        Args:
            frames: PIL pictures; with `takes_tensors = True`, frames on a GPU as `(T, 3, H, W) uint8 RGB`, too.
            references: what to look for.
        """
        ...


def load_detector(
    source: str = STAND_IN_DETECTOR, *, device: str = "cpu", revision: str | None = None
) -> ImagePromptedDetector:
    """Load a detector.

    Args:
        source: a Hub id or folder of an OWLv2, or `package.module:Class` of a detector of one's own.
        device: where it runs.
        revision: a commit or tag on the Hub; only for OWLv2.

    Raises:
        MetricError: nothing is there, or the class is no detector.
        MissingExtraError: transformers or torch is absent.
    """
    module, colon, name = source.partition(":")
    if not colon:
        return Owlv2Detector.load(source, device=device, revision=revision)
    try:
        made = getattr(import_module(module), name)(device=device)
    except (ImportError, AttributeError, TypeError) as error:
        raise MetricError(
            f"expected a detector as package.module:Class that is made with device=…, could not make {source!r}: {error}"
        ) from error
    if not callable(getattr(made, "detect", None)):
        raise MetricError(f"{source!r} is no detector: it has no method detect(frames, references)")
    return made


class Owlv2Detector:
    """Image-guided detection by OWLv2: the reference's most object-like box is the query.

    Args:
        model: an `Owlv2ForObjectDetection`.
        image_processor: an `Owlv2ImageProcessorPil`.
        batch_size: frames per pass.
        score_threshold: boxes need more.
        nms_threshold: boxes that overlap a better one by more (IoU) are left out.
        max_boxes: per frame and reference.
    """

    takes_tensors = True

    def __init__(
        self,
        model: Any,
        *,
        image_processor: Any,
        batch_size: int = 4,
        score_threshold: float = SCORE_THRESHOLD,
        nms_threshold: float = NMS_THRESHOLD,
        max_boxes: int = MAX_BOXES,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is 1 or more, not {batch_size}")
        self._model = model
        self._image_processor = image_processor
        self._batch_size = batch_size
        self._limits = {"score_threshold": score_threshold, "nms_threshold": nms_threshold, "max_boxes": max_boxes}

    @classmethod
    def load(
        cls, source: str = STAND_IN_DETECTOR, *, device: str = "cpu", revision: str | None = None, **options: Any
    ) -> Self:
        """Load a checkpoint.

        Args:
            source: a Hub id, or a folder.
            device: where it runs.
            revision: a commit or tag on the Hub.
            options: of the class.

        Raises:
            MissingExtraError: transformers or torch is absent.
            MetricError: the files are not there, or lack weights.
        """
        try:
            from transformers import Owlv2ForObjectDetection
            from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil
        except ImportError as error:
            raise MissingExtraError(package="transformers", extra="eval", needed_for="OWLv2") from error

        model = load_pretrained(
            Owlv2ForObjectDetection, source, what="NexusScore's detector", revision=revision or "main"
        )
        with explained(source, what="OWLv2's image processor"):
            image_processor = Owlv2ImageProcessorPil.from_pretrained(source, revision=revision or "main")
        return cls(model.to(device), image_processor=image_processor, **options)

    def detect(self, frames: Frames, references: Sequence[Image.Image]) -> list[list[Boxes]]:
        """Return boxes for each frame, PIL or of a tensor `(T, 3, H, W) uint8 RGB`, and in it for each reference."""
        import torch

        if not references:
            return [[] for _ in frames]
        found: list[list[Boxes]] = []
        with torch.inference_mode():
            queries = torch.cat([self._query(reference) for reference in references])  # (R, D)
            for start in range(0, len(frames), self._batch_size):
                batch = frames[start : start + self._batch_size]
                features, grid = self._features(batch)
                wanted = queries.expand(len(batch), -1, -1)
                logits, _ = self._model.class_predictor(image_feats=features, query_embeds=wanted)
                corners = _corners(self._model.box_predictor(features, grid))
                for row, frame in enumerate(batch):
                    # The processor pads frames at the right and the bottom to squares: boxes are in parts of the longer side.
                    size = picture_size(frame)
                    xyxy = corners[row] * max(size)
                    scores = logits[row].sigmoid()
                    found.append(
                        [
                            select_boxes(xyxy, scores[:, place], size=size, **self._limits)
                            for place in range(len(references))
                        ]
                    )
        return found

    def _query(self, reference: Image.Image) -> torch.Tensor:
        features, grid = self._features([reference])
        query, _, _ = self._model.embed_image_query(features, grid)
        return query.reshape(1, -1)

    def _features(self, images: Frames) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `(N, patches, D)`, and the same as `(N, rows, columns, D)`."""
        if isinstance(images, Sequence):
            pictures = [image.convert("RGB") for image in images]
            pixels = self._image_processor(images=pictures, return_tensors="pt")["pixel_values"]
        else:
            pixels = owlv2_pixels(images, self._image_processor)
        grid, _ = self._model.image_embedder(pixels.to(self._model.device, self._model.dtype))
        return grid.flatten(1, 2), grid


def picture_size(picture: Image.Image | torch.Tensor) -> tuple[int, int]:
    """Return the width and height of a PIL picture, or of a tensor `(3, H, W)`."""
    from PIL import Image

    return picture.size if isinstance(picture, Image.Image) else (picture.shape[-1], picture.shape[-2])


def select_boxes(
    xyxy: torch.Tensor,
    scores: torch.Tensor,
    *,
    size: tuple[int, int],
    score_threshold: float = SCORE_THRESHOLD,
    nms_threshold: float = NMS_THRESHOLD,
    max_boxes: int = MAX_BOXES,
) -> Boxes:
    """Keep the best boxes of those that lie in the frame.

    Args:
        xyxy: `(N, 4)`, pixels of the frame; may reach out of it.
        scores: `(N,)`.
        size: the frame's width and height.
        score_threshold: boxes need more.
        nms_threshold: boxes that overlap a better one by more (IoU) are left out.
        max_boxes: so many at most.

    Returns:
        Boxes clipped to the frame; one that is thinner than a pixel there is left out.
    """
    width, height = size
    # Filtering first gives the same as upstream's order (NMS, then scores): a box of a lower score never removes another.
    good = scores > score_threshold
    xyxy, scores = xyxy[good].float(), scores[good].float()
    xyxy = xyxy.clamp(min=0).minimum(xyxy.new_tensor([width, height, width, height]))
    seen = ((xyxy[:, 2:] - xyxy[:, :2]) >= 1).all(dim=1)
    xyxy, scores = xyxy[seen], scores[seen]
    keep = nms(xyxy, scores, iou_threshold=nms_threshold, max_boxes=max_boxes)
    return Boxes(xyxy=xyxy[keep].cpu().numpy(), scores=scores[keep].cpu().numpy())


def nms(
    xyxy: torch.Tensor, scores: torch.Tensor, *, iou_threshold: float, max_boxes: int | None = None
) -> torch.Tensor:
    """Return which boxes stay when each one, best first, removes those that overlap it too much.

    Args:
        xyxy: `(N, 4)`: left, top, right, bottom.
        scores: `(N,)`; of equal ones the first comes first.
        iou_threshold: an overlap (intersection over union) above it removes the lower box.
        max_boxes: so many of the best, and none is looked at after them; None for all.

    Returns:
        `(K,) int64`, places in `xyxy`, best first.
    """
    import torch

    order = scores.argsort(descending=True, stable=True)
    boxes = xyxy[order]
    too_near = (_iou(boxes, boxes) > iou_threshold).cpu().numpy()
    gone = np.zeros(len(boxes), dtype=bool)
    kept = []
    for place in range(len(boxes)):
        if len(kept) == max_boxes:
            break
        if not gone[place]:
            kept.append(place)
            gone |= too_near[place]
    return order[torch.tensor(kept, dtype=torch.int64, device=order.device)]


def _iou(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return `(N, M)` of intersections over unions; 0 for two boxes without area."""
    left_top = first[:, None, :2].maximum(second[None, :, :2])
    right_bottom = first[:, None, 2:].minimum(second[None, :, 2:])
    shared = (right_bottom - left_top).clamp(min=0).prod(dim=-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - shared
    return shared / union.clamp(min=1e-12)


def _corners(cxcywh: torch.Tensor) -> torch.Tensor:
    """Return boxes as left, top, right, bottom, from their centres and sizes."""
    import torch

    centre, half = cxcywh[..., :2], cxcywh[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)
