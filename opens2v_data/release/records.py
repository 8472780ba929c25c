"""Record shapes as upstream writes them, and the one place where their variants become one shape.

`RawRecord` and its parts are what the JSON holds (msgspec checks types while it parses); `normalise` turns one into a
`ClipRecord`, naming every oddity it met in `ClipRecord.quirks`. Nothing after this module knows upstream's spelling.

Upstream's variants and what becomes of them (each has a test in `tests/release/test_records.py`):

    caption under face_cap_qwen, face_cap_glm, face_cap_Aria, cap     first that has text; its name is `caption_source`
    caption a list of strings                                         first is the caption, the rest are alternatives
    gme_score, aes_score, aesthetic, … missing, NaN or infinite       null (`nan` is a quirk)
    face_cut missing                                                  null: use `cut`
    crop [x0, x1, y0, y1]                                             (x0, y0, x1, y1); out of the frame is a quirk
    mask_annotation null, absent or {}                                no masks
    mask all zeros                                                    kept, `MaskRecord.is_empty`
    mask size not that of the cropped frame                           kept, quirk `mask-size`
    a mask whose id has no box, or no class                           subject without box; class from mask_map, else ""
    box out of the frame                                              kept, quirk `box-outside-frame`
    numbers as strings                                                numbers
    lone surrogates, invalid UTF-8                                    U+FFFD, quirk `text-repaired`
    path absolute or with ".."                                        kept as text, never looked up: quirk `path-escapes`
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any

import msgspec

from opens2v_data.release.lenient import parse_leniently

INT16_MAX = 2**15 - 1
INT32_MAX = 2**31 - 1
FLOAT32_MAX = 3.4028234663852886e38

Number = Annotated[float, msgspec.Meta(ge=-FLOAT32_MAX, le=FLOAT32_MAX)]
"""A number that the tables can hold; others go the lenient way, where they become null."""

CAPTION_FIELDS = ("face_cap_qwen", "face_cap_glm", "face_cap_Aria", "cap")
"""Where a caption can stand, in the order it is looked for."""

TAG_FIELDS = ("background", "subject", "object", "pre_define")


class RawResolution(msgspec.Struct, gc=False):
    height: int | None = None
    width: int | None = None


class RawMetadata(msgspec.Struct, gc=False):
    path: str | None = None
    cut: list[int] | None = None
    crop: list[int] | None = None
    face_cut: list[int] | None = None
    fps: Number | None = None
    num_frames: int | None = None
    resolution: RawResolution | None = None
    tech: Number | None = None
    motion: Number | None = None
    aesthetic: Number | None = None
    face_cap_qwen: str | list[str | None] | None = None
    face_cap_glm: str | list[str | None] | None = None
    face_cap_Aria: str | list[str | None] | None = None
    cap: str | list[str | None] | None = None


class RawTags(msgspec.Struct, gc=False):
    background: list[str] | None = None
    subject: list[str] | None = None
    object: list[str] | None = None
    pre_define: list[str] | None = None


class RawBox(msgspec.Struct, gc=False):
    class_name: str | None = None
    bbox: list[Number | None] | None = None
    gme_score: Number | None = None
    aes_score: Number | None = None


class RawFrame(msgspec.Struct, gc=False):
    ann_frame_idx: int | None = None
    annotations: list[RawBox] | None = None
    box_format: str | None = None
    img_width: int | None = None
    img_height: int | None = None
    foreground_ase_score: Number | None = None
    background_ase_score: Number | None = None


class RawClass(msgspec.Struct, gc=False):
    class_name: str | None = None


class RawMask(msgspec.Struct, gc=False):
    size: tuple[int, int] | None = None
    counts: str | None = None
    score: list[Number | None] | Number | None = None


class RawAnnotation(msgspec.Struct, gc=False):
    ann_frame_data: RawFrame | None = None
    mask_map: dict[str, RawClass] | None = None
    mask_annotation: dict[str, dict[str, RawMask | None] | None] | None = None


class RawRecord(msgspec.Struct, gc=False):
    metadata: RawMetadata
    word_tags: RawTags | None = None
    annotation: RawAnnotation | None = None


class MaskRecord(msgspec.Struct, array_like=True, gc=False):
    """One mask, also the row of a mask blob (see `catalog/masks.py`).

    Attributes:
        frame_idx: display order, from the first frame of the file.
        object_id: upstream's 1-based id.
        height, width: pixels.
        score: segmenter's confidence, [0, 1], or None.
        counts: COCO compressed run lengths, ASCII.
    """

    frame_idx: int
    object_id: int
    height: int
    width: int
    score: float | None
    counts: str

    @property
    def is_empty(self) -> bool:
        """Whether no pixel is set: a single run of zeros, or nothing."""
        return len(self.counts) <= 7 and _single_run(self.counts)


class SubjectRecord(msgspec.Struct, gc=False):
    """One object: `bbox_xyxy` in pixels of the cropped frame or None, `mask` of the annotated frame or None."""

    object_id: int
    class_name: str
    bbox_xyxy: list[float] | None
    gme_score: float | None
    aes_score: float | None
    mask: MaskRecord | None


class ClipRecord(msgspec.Struct, gc=False):
    """One clip, every variant made one. Ranges are half-open frames, boxes `xyxy` pixels; None is "upstream has none"."""

    key: str
    path: str | None
    caption: str | None
    caption_source: str | None
    caption_alternatives: list[str]
    fps: float | None
    num_frames: int | None
    width: int | None
    height: int | None
    cut: list[int] | None
    face_cut: list[int] | None
    crop_xyxy: list[int] | None
    tech: float | None
    motion: float | None
    aesthetic: float | None
    foreground_aesthetic: float | None
    background_aesthetic: float | None
    ann_frame_idx: int | None
    tags: RawTags
    subjects: list[SubjectRecord]
    masks: list[MaskRecord]
    quirks: list[str]


class RecordError(ValueError):
    """A record that cannot be read; its text is the quarantine's reason."""


_strict = msgspec.json.Decoder(RawRecord)


def decode_record(value: bytes | memoryview) -> tuple[RawRecord, list[str]]:
    """Parse one record's JSON value, leniently where the strict parse fails.

    Returns:
        The record, and the quirks met while parsing.

    Raises:
        RecordError: no JSON, or fields of another type than upstream's.
    """
    try:
        return _strict.decode(value), []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decode_leniently(bytes(value))


def _decode_leniently(value: bytes) -> tuple[RawRecord, list[str]]:
    try:
        tree, quirks = parse_leniently(value)
    except ValueError as error:
        raise RecordError(f"not JSON: {_short(error)}") from error
    try:
        record = msgspec.convert(_finite(tree, quirks), RawRecord, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        raise RecordError(f"unexpected shape: {_short(error)}") from error
    return record, list(dict.fromkeys(quirks))


_NUMBERS = {
    *("fps", "tech", "motion", "aesthetic", "bbox", "gme_score", "aes_score", "score"),
    *("foreground_ase_score", "background_ase_score"),
}


def _finite(node: Any, quirks: list[str], *, is_number: bool = False) -> Any:
    """Make None of numbers that are none: written as "NaN" or "Infinity" strings, or too large for float32."""
    if isinstance(node, dict):
        return {key: _finite(value, quirks, is_number=key in _NUMBERS) for key, value in node.items()}
    if isinstance(node, list):
        return [_finite(value, quirks, is_number=is_number) for value in node]
    if is_number and isinstance(node, (str, int, float)):
        try:
            is_finite = abs(float(node)) <= FLOAT32_MAX
        except OverflowError:
            is_finite = False
        except ValueError:
            return node
        if not is_finite:
            quirks.append("nan")
            return None
    return node


def normalise(key: str, raw: RawRecord, quirks: list[str] | None = None) -> ClipRecord:
    """Turn one record into the one shape this project uses.

    Args:
        key: the clip key.
        raw: the record as upstream writes it.
        quirks: oddities already met while parsing; further ones are added.

    Raises:
        RecordError: a number too large for what it counts.
    """
    found = quirks if quirks is not None else []
    metadata = raw.metadata
    caption, caption_source, alternatives = _caption(metadata)
    size = metadata.resolution
    width, height = (size.width, size.height) if size is not None else (None, None)
    crop = _crop(metadata.crop, width, height, found)
    cut = _frames(metadata.cut, "cut", found)
    face_cut = _frames(metadata.face_cut, "face_cut", found)
    if cut is not None and face_cut is not None and not (cut[0] <= face_cut[0] and face_cut[1] <= cut[1]):
        found.append("face-cut-outside-cut")
    if metadata.path is not None and escapes(metadata.path):
        found.append("path-escapes")

    annotation = raw.annotation
    frame = annotation.ann_frame_data if annotation is not None else None
    ann_frame_idx = frame.ann_frame_idx if frame is not None else None
    masks = _masks(annotation, found) if annotation is not None else []
    if ann_frame_idx is None and masks:
        ann_frame_idx = masks[0].frame_idx
    if crop is not None:
        frame_size = (crop[2] - crop[0], crop[3] - crop[1])
    else:
        frame_size = (width, height)
    subjects = _subjects(annotation, masks, ann_frame_idx, frame_size, found) if annotation is not None else []
    numbers = (metadata.num_frames, width, height, ann_frame_idx)
    if any(number is not None and not -1 <= number <= INT32_MAX for number in numbers):
        raise RecordError(
            f"unexpected shape: a count out of range in num_frames, width, height, ann_frame_idx = {numbers}"
        )
    return ClipRecord(
        key,
        metadata.path,
        caption,
        caption_source,
        alternatives,
        metadata.fps,
        metadata.num_frames,
        width,
        height,
        cut,
        face_cut,
        crop,
        metadata.tech,
        metadata.motion,
        metadata.aesthetic,
        frame.foreground_ase_score if frame is not None else None,
        frame.background_ase_score if frame is not None else None,
        ann_frame_idx,
        raw.word_tags if raw.word_tags is not None else _NO_TAGS,
        subjects,
        masks,
        list(dict.fromkeys(found)) if found else found,
    )


_NO_TAGS = RawTags()


def escapes(path: str) -> bool:
    """Tell whether a recorded path leaves the folder it is relative to."""
    if path.startswith("/") or "\0" in path or "\\" in path:
        return True
    return ".." in path and ".." in PurePosixPath(path).parts


def _caption(metadata: RawMetadata) -> tuple[str | None, str | None, list[str]]:
    if type(metadata.face_cap_qwen) is str and not (metadata.face_cap_glm or metadata.face_cap_Aria or metadata.cap):
        return metadata.face_cap_qwen, "face_cap_qwen", []
    caption, source, alternatives = None, None, []
    for name in CAPTION_FIELDS:
        value = getattr(metadata, name)
        for text in [value] if isinstance(value, str) else value or []:
            if not text or not text.strip():
                continue
            if caption is None:
                caption, source = text, name
            elif text != caption:
                alternatives.append(text)
    return caption, source, alternatives


def _frames(value: list[int] | None, name: str, quirks: list[str]) -> list[int] | None:
    if not value:
        return None
    if len(value) != 2 or not 0 <= value[0] <= value[1] <= INT32_MAX:
        quirks.append(f"bad-{name.replace('_', '-')}")
        return None
    return value


def _crop(value: list[int] | None, width: int | None, height: int | None, quirks: list[str]) -> list[int] | None:
    if not value:
        return None
    if len(value) != 4 or not (0 <= value[0] < value[1] <= INT32_MAX and 0 <= value[2] < value[3] <= INT32_MAX):
        quirks.append("bad-crop")
        return None
    x0, x1, y0, y1 = value
    if width is not None and height is not None and (x1 > width or y1 > height):
        quirks.append("crop-outside-frame")
    return [x0, y0, x1, y1]


def _masks(annotation: RawAnnotation, quirks: list[str]) -> list[MaskRecord]:
    masks: list[MaskRecord] = []
    for frame, objects in (annotation.mask_annotation or {}).items():
        frame_idx = _small_number(frame, INT32_MAX)
        for name, mask in (objects or {}).items():
            if mask is None or mask.size is None or mask.counts is None:
                quirks.append("mask-null")
                continue
            object_id = _small_number(name, INT16_MAX)
            height, width = mask.size
            if frame_idx is None or object_id is None or not (0 <= height <= INT32_MAX and 0 <= width <= INT32_MAX):
                quirks.append("mask-id")
                continue
            score = mask.score
            if type(score) is list:
                score = score[0] if score else None
            masks.append(MaskRecord(frame_idx, object_id, height, width, score, mask.counts))  # type: ignore[arg-type]
    return masks


def _small_number(text: str, limit: int) -> int | None:
    is_short = len(text) <= 10 and text.isascii() and text.isdigit()
    return number if is_short and (number := int(text)) <= limit else None


def _subjects(
    annotation: RawAnnotation,
    masks: list[MaskRecord],
    ann_frame_idx: int | None,
    frame_size: tuple[int | None, int | None],
    quirks: list[str],
) -> list[SubjectRecord]:
    frame = annotation.ann_frame_data
    names = annotation.mask_map or {}
    mask_of = {mask.object_id: mask for mask in masks if mask.frame_idx == ann_frame_idx}
    width, height = frame_size
    subjects: list[SubjectRecord] = []
    boxes = frame.annotations if frame is not None and frame.annotations is not None else []
    if len(boxes) > INT16_MAX:
        raise RecordError(f"unexpected shape: {len(boxes)} annotations, expected at most {INT16_MAX}")
    for object_id, box in enumerate(boxes, start=1):
        mask = mask_of.pop(object_id, None)
        bbox: list[Any] | None = box.bbox
        if bbox is not None:
            if len(bbox) != 4 or None in bbox:
                quirks.append("bad-box")
                bbox = None
            else:
                if frame is not None and frame.box_format == "xywh":
                    bbox = [bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3]]
                if width is not None and height is not None:
                    x1, y1, x2, y2 = bbox
                    # Boxes are real numbers of a detector: half a pixel over the edge is rounding, not a fault.
                    if x1 < -0.5 or y1 < -0.5 or x2 > width + 0.5 or y2 > height + 0.5 or x1 > x2 or y1 > y2:
                        quirks.append("box-outside-frame")
        if mask is not None and width is not None and (mask.width != width or mask.height != height):
            quirks.append("mask-size")
        name = box.class_name
        if name is None:
            name = _mapped_name(names, object_id)
        subjects.append(SubjectRecord(object_id, name, bbox, box.gme_score, box.aes_score, mask))
    for object_id in sorted(mask_of):
        quirks.append("mask-without-box")
        subjects.append(SubjectRecord(object_id, _mapped_name(names, object_id), None, None, None, mask_of[object_id]))
    if len(names) > len(subjects):
        known = {subject.object_id for subject in subjects}
        for text in names:
            object_id = _small_number(text, INT16_MAX)
            if object_id is not None and object_id not in known:
                quirks.append("class-without-box")
                subjects.append(SubjectRecord(object_id, _mapped_name(names, object_id), None, None, None, None))
    if len(subjects) > len(boxes):
        subjects.sort(key=lambda subject: subject.object_id)
    return subjects


def _mapped_name(names: dict[str, RawClass], object_id: int) -> str:
    entry = names.get(str(object_id))
    return (entry.class_name if entry is not None else None) or ""


def _single_run(counts: str) -> bool:
    # COCO's run lengths: 5 bits a character, bit 6 says that more follow; one run alone is the run of zeros.
    return sum(1 for character in counts if not (ord(character) - 48) & 0x20) <= 1


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= 300 else text[:297] + "..."
