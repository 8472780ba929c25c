"""Rows made values: what a subject, a clip, a pair, a view and a subject-text-video triple are.

Both faces give these: `opens2v_data.open(root).triples(...)` and `Triple.from_row(row)` on a row of
`load_dataset("opens2v-5m")`. They hold no pixels; `opens2v_loaders` decodes and cuts out.

Boxes are `(x1, y1, x2, y2)` in pixels of the *cropped* annotated frame; frame ranges are half-open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class MaskRLE:
    """One mask as COCO compressed run lengths (column-major), as upstream stores it.

    Attributes:
        height, width: size in pixels; upstream promises that of the cropped frame but does not always keep it.
        counts: COCO's compressed run-length string, ASCII bytes.
        score: the segmenter's own confidence, [0, 1]; None where upstream gives none.
        frame_idx: the frame the mask belongs to, display order, counted from the first frame of the file.
    """

    height: int
    width: int
    counts: bytes = field(repr=False)
    score: float | None
    frame_idx: int


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One detected object of a clip's annotated frame.

    Attributes:
        object_id: upstream's id, 1-based; unique in the clip only.
        class_name: the phrase that was detected, as upstream spells it.
        bbox_xyxy: pixels of the cropped annotated frame; None when upstream has a mask but no box.
        gme_score: GME similarity of class text and cut-out; None where upstream gives none.
        aes_score: LAION aesthetic score of the cut-out, about 0-10; None where upstream gives none.
        mask: None when upstream has a box but no mask.
    """

    object_id: int
    class_name: str
    bbox_xyxy: tuple[float, float, float, float] | None
    gme_score: float | None
    aes_score: float | None
    mask: MaskRLE | None


@dataclass(frozen=True, kw_only=True)
class VideoRef:
    """Where a clip's mp4 lies; reads nothing until asked.

    Attributes:
        path: `opens2v://…` address that fsspec opens, with catalog, part, offset and size in it.
        part: part of the release, e.g. `total_part1`.
        member: name inside the part's tar (or below the part's folder when unpacked).
        offset: first byte in the joined tar, bytes; 0 for an unpacked file.
        size_bytes: length of the mp4.
    """

    path: str
    part: str
    member: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip: its caption, scores, ranges and the place of its bytes.

    Attributes:
        clip_id: dense id in this catalog; changes when the catalog is made anew from other files.
        key: upstream's clip key; unique within a part only.
        part: part of the release.
        caption: the caption, or "" where upstream has none.
        cut, face_cut: half-open frame ranges in the file; `face_cut` (a person in view) lies inside `cut`,
            None where upstream gives none: use `cut`.
        crop_xyxy: `(x0, y0, x1, y1)` pixels of the decoded frame to keep (watermarks lie outside); None: the whole frame.
        fps: frames per second as upstream recorded it.
        num_frames: as upstream recorded it (from the header, not from decoding).
        width, height: of the decoded frame, pixels, before the crop.
        ann_frame_idx: the frame that boxes and masks belong to, display order from the first frame of the file.
        aesthetic, motion, tech: upstream's scores; None where missing.
        tags: upstream's word tags by kind (`background`, `subject`, `object`, `pre_define`).
        video: None when the release at hand has no bytes for the clip.
        background_path: inpainted plate below the release, or None.
    """

    clip_id: int
    key: str
    part: str
    cluster_id: str
    caption: str
    fps: float | None
    num_frames: int | None
    width: int | None
    height: int | None
    cut: tuple[int, int] | None
    face_cut: tuple[int, int] | None
    crop_xyxy: tuple[int, int, int, int] | None
    ann_frame_idx: int | None
    aesthetic: float | None
    motion: float | None
    tech: float | None
    tags: dict[str, tuple[str, ...]] = field(repr=False)
    video: VideoRef | None
    background_path: str | None


@dataclass(frozen=True, kw_only=True)
class View:
    """A GPT-Image-1 picture of one subject.

    Attributes:
        view_idx: the number in the file name, 0-based.
        class_name: as the subject's class is spelled (spaces, not `_`).
        object_id: the clip's subject it shows, or None when no subject has that class.
        path: PNG below the release.
        source_path: the frame the view was made from (`main_image.png`), below the release, or None.
    """

    view_idx: int
    class_name: str
    object_id: int | None
    path: str
    source_path: str | None


@dataclass(frozen=True, kw_only=True)
class Triple:
    """A subject-text-video triple: the unit that subject-to-video models train on.

    Attributes:
        clip: the video and its text (`clip.caption`).
        subjects: in object_id order.
        views: GPT-Image-1 views of the subjects; empty unless the config gives them.
    """

    clip: Clip
    subjects: tuple[Subject, ...]
    views: tuple[View, ...] = ()

    @property
    def caption(self) -> str:
        """The clip's caption."""
        return self.clip.caption

    def subject(self, object_id: int) -> Subject:
        """Return the subject of that id.

        Raises:
            KeyError: no subject of the clip has it.
        """
        for subject in self.subjects:
            if subject.object_id == object_id:
                return subject
        raise KeyError(f"clip {self.clip.key} has no subject {object_id}; it has {[s.object_id for s in self.subjects]}")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The same subject in two clips of one source video (Nexus cross-video pair).

    Attributes:
        left, right: the two sides (upstream's `cur` and `aft`).
        left_object_id, right_object_id: which subject of each side; None in upstream's older form.
        text_similarity: GME cosine of the two class names.
        image_similarity: GME cosine of the two cut-outs; near 1 means the same picture twice.
    """

    left: Triple
    right: Triple
    left_object_id: int | None
    right_object_id: int | None
    left_class_name: str
    right_class_name: str
    text_similarity: float | None
    image_similarity: float | None


BytesReader = Callable[[VideoRef], bytes]
"""Reads a clip's whole mp4; `opens2v_data.open(root).read_bytes` is one."""
