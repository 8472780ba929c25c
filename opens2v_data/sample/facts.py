"""What is true of a sample release: the ground truth for tests, known from making it and not from reading it back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class SubjectFacts:
    """One object of a clip's annotated frame, as the record holds it.

    Attributes:
        object_id: 1-based.
        class_name: the phrase.
        bbox_xyxy: pixels of the cropped frame; None: the record names it in `mask_map` only.
        gme_score, aes_score: None where the record has none.
        mask_counts: COCO compressed run lengths; None where the record has no mask.
        mask_size: (height, width) of the mask, pixels.
        mask_score: confidence, [0, 1].
        mask_area: pixels that are set; 0 for an empty mask.
    """

    object_id: int
    class_name: str
    bbox_xyxy: tuple[float, float, float, float] | None
    gme_score: float | None
    aes_score: float | None
    mask_counts: str | None = field(default=None, repr=False)
    mask_size: tuple[int, int] | None = None
    mask_score: float | None = None
    mask_area: int | None = None
    mask_bits: bytes | None = field(default=None, repr=False)

    def mask(self) -> np.ndarray | None:
        """Give the exact pixels, (H, W) bool, or None."""
        if self.mask_bits is None or self.mask_size is None:
            return None
        height, width = self.mask_size
        bits = np.frombuffer(self.mask_bits, np.uint8)
        return np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """One mp4.

    Attributes:
        number: shown in every frame's barcode (`read_video_number`).
        part, member: the tar and the name inside it.
        record_path: how records name it.
        offset: of the mp4's first byte in the joined tar.
        size_bytes, sha256: of the mp4.
        width, height: before the crop, pixels.
        num_frames: that decode.
        pts_seconds: of each frame, display order; the first is not 0.
        key_frames: display indices of IDR frames.
        has_audio: whether a sound stream comes before the video stream.
        is_named: whether a record names it.
    """

    number: int
    part: str
    member: str
    record_path: str
    offset: int
    size_bytes: int
    sha256: str
    width: int
    height: int
    fps: float
    num_frames: int
    pts_seconds: tuple[float, ...] = field(repr=False)
    key_frames: tuple[int, ...]
    has_audio: bool
    moov_at_end: bool
    varying: bool
    is_named: bool


@dataclass(frozen=True, kw_only=True)
class ClipFacts:
    """One clip that can be loaded, after every variant of spelling is made one.

    Attributes:
        key, part, cluster: which clip; `cluster` is the key up to `_segment`, else up to `_part`.
        video: None when the tar lacks the mp4 that the record names.
        record_path: the record's `path`.
        caption: the caption; of a list the first, and what is no Unicode as U+FFFD.
        caption_alternatives: further captions of a list.
        caption_field: where upstream wrote it.
        cut, face_cut: half-open frame ranges; `face_cut` None where the record has none.
        crop_xyxy: pixels of the decoded frame; the whole frame where nothing is cut off.
        fps, num_frames, width, height: of the file.
        ann_frame_idx: the frame that subjects belong to.
        aesthetic, motion: None where missing or NaN.
        tags: word tags by kind.
        subjects: in object_id order.
        quirk: what is odd about the record, or None.
        background_path: plate below the release, or None.
    """

    key: str
    part: str
    cluster: str
    video: VideoFacts | None
    record_path: str
    caption: str
    caption_alternatives: tuple[str, ...]
    caption_field: str
    cut: tuple[int, int]
    face_cut: tuple[int, int] | None
    crop_xyxy: tuple[int, int, int, int]
    fps: float
    num_frames: int
    width: int
    height: int
    ann_frame_idx: int
    aesthetic: float | None
    motion: float | None
    tech: float
    foreground_aesthetic: float
    background_aesthetic: float
    tags: dict[str, tuple[str, ...]] = field(repr=False)
    subjects: tuple[SubjectFacts, ...] = field(repr=False)
    quirk: str | None
    background_path: str | None

    @property
    def cropped_size(self) -> tuple[int, int]:
        """(width, height) of the cropped frame."""
        x0, y0, x1, y1 = self.crop_xyxy
        return x1 - x0, y1 - y0


@dataclass(frozen=True, kw_only=True)
class PairFacts:
    """One cross-video pair as written; in the older form ids have no part and class ids are None."""

    cluster: str
    cur_id: str
    aft_id: str
    cur_class_id: str | None
    aft_class_id: str | None
    cur_class_name: str
    aft_class_name: str
    text_similarity: float
    image_similarity: float
    cur_frame_idx: int
    aft_frame_idx: int


@dataclass(frozen=True, kw_only=True)
class ViewFacts:
    """One GPT view: `folder` is the key its folder carries, `clip_key` the record's; `object_id` None: no subject."""

    clip_key: str
    folder: str
    view_idx: int
    class_name: str
    object_id: int | None
    path: str
    source_path: str


@dataclass(frozen=True, kw_only=True)
class SampleFacts:
    """What a sample release holds.

    Attributes:
        root: the release's folder.
        parts: names of the parts.
        clips: that load, in file order, the first occurrence of each key.
        videos: every mp4 in the tars, in tar order.
        pairs: in the order of `cross_frames_pairs.json`.
        views: by folder and number.
        quirks: clip key by quirk; also of the clip that cannot be loaded.
        unloadable_key: the one record that no reader can use, in `unloadable_part`.
        duplicate_key: the key that occurs twice in `duplicate_part`.
        duplicate_caption: what the second occurrence says.
        absent_member: member that a record names and the tar lacks.
        unnamed_member: member that no record names.
        background_paths: plates below the release.
        piece_sizes: bytes of each piece but the last, by part.
        size_bytes: of all files.
    """

    root: Path
    parts: tuple[str, ...]
    clips: tuple[ClipFacts, ...] = field(repr=False)
    videos: tuple[VideoFacts, ...] = field(repr=False)
    pairs: tuple[PairFacts, ...] = field(repr=False)
    views: tuple[ViewFacts, ...] = field(repr=False)
    quirks: dict[str, str] = field(repr=False)
    unloadable_key: str
    unloadable_part: str
    duplicate_key: str
    duplicate_part: str
    duplicate_caption: str
    absent_member: str
    unnamed_member: str
    background_paths: tuple[str, ...] = field(repr=False)
    piece_sizes: dict[str, int]
    size_bytes: int

    def clip(self, key: str) -> ClipFacts:
        """Give the clip of that key.

        Raises:
            ValueError: there is none.
        """
        for clip in self.clips:
            if clip.key == key:
                return clip
        raise ValueError(f"the sample release has no clip {key!r}")

    def clip_with(self, quirk: str) -> ClipFacts:
        """Give the clip that carries a quirk.

        Raises:
            ValueError: no such quirk.
        """
        if quirk not in self.quirks:
            raise ValueError(f"expected a quirk of {sorted(self.quirks)}, found {quirk!r}")
        return self.clip(self.quirks[quirk])

    @property
    def counts(self) -> dict[str, int]:
        """Rows that each table should have."""
        subjects = [subject for clip in self.clips for subject in clip.subjects]
        return {
            "clips": len(self.clips),
            "clips_with_video": sum(clip.video is not None for clip in self.clips),
            "quarantined": 1,
            "duplicates": 1,
            "subjects": len(subjects),
            "masks": sum(subject.mask_counts is not None for subject in subjects),
            "pairs": len(self.pairs),
            "views": len(self.views),
            "members": len(self.videos),
            "backgrounds": len(self.background_paths),
            "clusters": len({clip.cluster for clip in self.clips}),
        }
