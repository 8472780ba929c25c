"""The catalog's tables: every column with its type, unit and the meaning of null.

These descriptions go into the parquet files' field metadata and are what `opens2v info --schema` prints.
Row-group sizes were measured on 5 M clips (QUERY.md): small enough that a page of clips reads little, large enough to scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

SCHEMA_VERSION = 1
"""Raised whenever a table's columns, order or meaning change."""


@dataclass(frozen=True)
class Column:
    """One column: `unit` is "" where none applies; `doc` says what null means where null can stand."""

    name: str
    type: pa.DataType
    unit: str
    doc: str
    nullable: bool = True


@dataclass(frozen=True, kw_only=True)
class TableSchema:
    """One table.

    Attributes:
        name: file name without `.parquet`.
        doc: what a row is.
        order: columns it is sorted by.
        columns: its columns.
        row_group_rows: rows per row group.
        ranges: columns whose minimum and maximum per row group are written to the manifest.
        dictionary: columns worth a parquet dictionary.
    """

    name: str
    doc: str
    order: tuple[str, ...]
    columns: tuple[Column, ...]
    row_group_rows: int
    ranges: tuple[str, ...] = ()
    dictionary: tuple[str, ...] = ()

    @property
    def arrow(self) -> pa.Schema:
        """Return the Arrow schema with units and meanings as field metadata."""
        return pa.schema(
            [
                pa.field(column.name, column.type, column.nullable, {"unit": column.unit, "doc": column.doc})
                for column in self.columns
            ],
            metadata={"table": self.name, "doc": self.doc, "schema_version": str(SCHEMA_VERSION)},
        )


_TAGS = pa.list_(pa.field("element", pa.string(), nullable=False))
_CLIP = Column("clip_id", pa.int32(), "", "the clip, see clips", nullable=False)

CLIPS = TableSchema(
    name="clips",
    doc="one row per clip: scores, ranges, tags",
    order=("clip_id",),
    row_group_rows=16_384,
    ranges=(
        "clip_id",
        "aesthetic",
        "motion",
        "tech",
        "fps",
        "num_frames",
        "width",
        "height",
        "num_subjects",
        "num_masks",
    ),
    dictionary=(
        "part",
        "caption_source",
        "background_tags",
        "subject_tags",
        "object_tags",
        "pre_define_tags",
        "quirks",
    ),
    columns=(
        Column(
            "clip_id",
            pa.int32(),
            "",
            "dense id of this catalog: 0, 1, … by part, then as the JSON has them",
            nullable=False,
        ),
        Column("clip_key", pa.string(), "", "upstream's key; unique within a part", nullable=False),
        Column("part", pa.string(), "", "part of the release", nullable=False),
        Column("cluster_id", pa.string(), "", "source video: the key up to _segment, else up to _part", nullable=False),
        Column("path", pa.string(), "", "video path as the record has it; null: the record has none"),
        Column("fps", pa.float32(), "frames/s", "as recorded; null: not recorded"),
        Column("num_frames", pa.int32(), "frames", "as recorded, not decoded; null: not recorded"),
        Column("width", pa.int32(), "pixels", "decoded frame before the crop; null: not recorded"),
        Column("height", pa.int32(), "pixels", "decoded frame before the crop; null: not recorded"),
        Column("cut_start", pa.int32(), "frames", "first frame of the clip in the file; null: no cut recorded"),
        Column("cut_end", pa.int32(), "frames", "frame after the last (half-open); null: no cut recorded"),
        Column("face_cut_start", pa.int32(), "frames", "first frame with a person in view; null: use cut_start"),
        Column("face_cut_end", pa.int32(), "frames", "frame after the last (half-open); null: use cut_end"),
        Column("crop_x0", pa.int32(), "pixels", "left edge to keep of the decoded frame; null: the whole frame"),
        Column("crop_y0", pa.int32(), "pixels", "top edge to keep; null: the whole frame"),
        Column("crop_x1", pa.int32(), "pixels", "right edge, exclusive; null: the whole frame"),
        Column("crop_y1", pa.int32(), "pixels", "bottom edge, exclusive; null: the whole frame"),
        Column(
            "tech",
            pa.float64(),
            "score",
            "technical quality, upstream's tech; does not fit float32; null: missing or NaN",
        ),
        Column("motion", pa.float32(), "score", "optical-flow motion, upstream's motion; null: missing or NaN"),
        Column("aesthetic", pa.float32(), "score, about 0-10", "LAION aesthetic score; null: missing or NaN"),
        Column(
            "foreground_aesthetic", pa.float32(), "score, about 0-10", "upstream's foreground_ase_score; null: missing"
        ),
        Column(
            "background_aesthetic", pa.float32(), "score, about 0-10", "upstream's background_ase_score; null: missing"
        ),
        Column("caption_source", pa.string(), "", "field the caption stood in, e.g. face_cap_qwen; null: no caption"),
        Column(
            "ann_frame_idx",
            pa.int32(),
            "frames",
            "annotated frame, display order from the file's first; null: none annotated",
        ),
        Column("num_subjects", pa.int32(), "rows", "rows of this clip in subjects", nullable=False),
        Column("num_masks", pa.int32(), "masks", "masks in the clip's blob, all frames", nullable=False),
        Column("background_tags", _TAGS, "", "word_tags.background", nullable=False),
        Column("subject_tags", _TAGS, "", "word_tags.subject", nullable=False),
        Column("object_tags", _TAGS, "", "word_tags.object", nullable=False),
        Column("pre_define_tags", _TAGS, "", "word_tags.pre_define", nullable=False),
        Column(
            "quirks", _TAGS, "", "oddities met in the record, e.g. nan, mask-size, box-outside-frame", nullable=False
        ),
        Column(
            "json_offset", pa.int64(), "bytes", "where the record's key starts in the part's JSON file", nullable=False
        ),
    ),
)

CAPTIONS = TableSchema(
    name="captions",
    doc="one row per clip: its text, apart from clips so that scans and pages need not read it",
    order=("clip_id",),
    row_group_rows=8_192,
    ranges=("clip_id",),
    columns=(
        _CLIP,
        Column("caption", pa.string(), "", "null: the record has none"),
        Column(
            "alternatives", _TAGS, "", "further captions of the record, other fields or list entries", nullable=False
        ),
    ),
)

SUBJECTS = TableSchema(
    name="subjects",
    doc="one row per detected object of a clip's annotated frame",
    order=("clip_id", "object_id"),
    row_group_rows=20_480,
    ranges=("clip_id", "gme_score", "aes_score"),
    columns=(
        _CLIP,
        Column("object_id", pa.int16(), "", "upstream's 1-based id in the clip", nullable=False),
        Column("class_id", pa.int32(), "", "see classes", nullable=False),
        Column("x1", pa.float32(), "pixels of the cropped frame", "box, left; null: no box"),
        Column("y1", pa.float32(), "pixels of the cropped frame", "box, top; null: no box"),
        Column("x2", pa.float32(), "pixels of the cropped frame", "box, right; null: no box"),
        Column("y2", pa.float32(), "pixels of the cropped frame", "box, bottom; null: no box"),
        Column("gme_score", pa.float32(), "cosine", "GME similarity of class text and cut-out; null: missing"),
        Column("aes_score", pa.float32(), "score, about 0-10", "LAION aesthetic score of the cut-out; null: missing"),
        Column("has_mask", pa.bool_(), "", "the clip's blob has a mask of it on the annotated frame", nullable=False),
        Column("mask_is_empty", pa.bool_(), "", "that mask has no pixel; null: no mask"),
        Column("mask_score", pa.float32(), "confidence, 0-1", "the segmenter's; null: no mask, or none given"),
    ),
)

CLASSES = TableSchema(
    name="classes",
    doc="one row per class name, the most frequent first",
    order=("class_id",),
    row_group_rows=65_536,
    columns=(
        Column("class_id", pa.int32(), "", "dense id of this catalog: 0 is the most frequent", nullable=False),
        Column("name", pa.string(), "", "the phrase as upstream spells it", nullable=False),
        Column("num_subjects", pa.int64(), "rows", "rows in subjects; 0: named by pairs or views only", nullable=False),
        Column("num_clips", pa.int64(), "clips", "clips with at least one", nullable=False),
    ),
)

CLASS_INDEX = TableSchema(
    name="class_index",
    doc="subjects by class: answers 'clips that have a …' without reading subjects",
    order=("class_id", "clip_id"),
    row_group_rows=122_880,
    ranges=("class_id", "clip_id"),
    columns=(
        Column("class_id", pa.int32(), "", "see classes", nullable=False),
        _CLIP,
        Column("object_id", pa.int16(), "", "upstream's id in the clip", nullable=False),
        Column("gme_score", pa.float32(), "cosine", "as in subjects"),
        Column("aes_score", pa.float32(), "score, about 0-10", "as in subjects"),
        Column("box_area", pa.float32(), "pixels²", "box area in the cropped frame; null: no box"),
    ),
)

PAIRS = TableSchema(
    name="pairs",
    doc="one row per cross-video pair: a subject and its partner in another clip of the same source video",
    order=("clip_id",),
    row_group_rows=65_536,
    ranges=("clip_id", "image_similarity", "text_similarity"),
    dictionary=("clip_ref", "partner_ref", "form"),
    columns=(
        Column("clip_id", pa.int32(), "", "the clip (upstream's cur); null: not in this catalog, see clip_ref"),
        Column("partner_clip_id", pa.int32(), "", "the partner's clip (upstream's aft); null: not in this catalog"),
        Column("object_id", pa.int16(), "", "subject of the clip; null: upstream's older form has none"),
        Column("partner_object_id", pa.int16(), "", "subject of the partner; null: older form"),
        Column("class_id", pa.int32(), "", "class of the subject", nullable=False),
        Column("partner_class_id", pa.int32(), "", "class of the partner", nullable=False),
        Column("text_similarity", pa.float32(), "cosine", "GME similarity of the class names; null: missing"),
        Column(
            "image_similarity",
            pa.float32(),
            "cosine",
            "GME similarity of the cut-outs, near 1: the same picture; null: missing",
        ),
        Column("frame_idx", pa.int32(), "frames", "annotated frame of the clip; null: missing"),
        Column("partner_frame_idx", pa.int32(), "frames", "annotated frame of the partner; null: missing"),
        Column("clip_ref", pa.string(), "", "cur_id where clip_id is null, else null"),
        Column("partner_ref", pa.string(), "", "aft_id where partner_clip_id is null, else null"),
        Column("form", pa.string(), "", "current, or older: no part prefix and no object ids", nullable=False),
    ),
)

VIEWS = TableSchema(
    name="views",
    doc="one row per GPT-Image-1 picture of a subject",
    order=("clip_id", "folder_key", "view_idx"),
    row_group_rows=65_536,
    ranges=("clip_id",),
    dictionary=("folder_key", "source_path"),
    columns=(
        Column("clip_id", pa.int32(), "", "the clip, the first where several parts hold it; null: no clip of that key"),
        Column(
            "twin_clip_ids",
            pa.list_(pa.field("element", pa.int32(), nullable=False)),
            "",
            "further clips of the same key apart from stage suffixes (the same clip in another part)",
            nullable=False,
        ),
        Column("view_idx", pa.int32(), "", "number in the file name, 0-based", nullable=False),
        Column("class_id", pa.int32(), "", "class in the file name, _ read as space", nullable=False),
        Column("path", pa.string(), "", "PNG below the release", nullable=False),
        Column("size_bytes", pa.int64(), "bytes", "of the PNG", nullable=False),
        Column("source_path", pa.string(), "", "main_image.png, the frame the view was made from; null: absent"),
        Column(
            "folder_key", pa.string(), "", "key as GPT-Frames has it; its stage suffix may be older", nullable=False
        ),
    ),
)

BACKGROUNDS = TableSchema(
    name="backgrounds",
    doc="one row per background plate: the frame with its subjects painted out",
    order=("clip_id",),
    row_group_rows=65_536,
    ranges=("clip_id",),
    columns=(
        _CLIP,
        Column("path", pa.string(), "", "PNG below the release", nullable=False),
        Column("size_bytes", pa.int64(), "bytes", "of the PNG", nullable=False),
    ),
)

MEMBERS = TableSchema(
    name="members",
    doc="one row per video file of the release: the index of the tars",
    order=("member_id",),
    row_group_rows=65_536,
    ranges=("member_id",),
    dictionary=("part",),
    columns=(
        Column("member_id", pa.int32(), "", "dense id: by part, then as the tar has them", nullable=False),
        Column("part", pa.string(), "", "part of the release", nullable=False),
        Column("name", pa.string(), "", "name in the tar, or below the part's folder when unpacked", nullable=False),
        Column(
            "offset", pa.int64(), "bytes", "first byte of the payload in the joined tar; 0: unpacked", nullable=False
        ),
        Column("size_bytes", pa.int64(), "bytes", "of the payload", nullable=False),
        Column("header_offset", pa.int64(), "bytes", "of the tar header in the joined tar; null: unpacked"),
        Column("has_ftyp", pa.bool_(), "", "the payload starts like an mp4; null: not looked at"),
    ),
)

LOCATIONS = TableSchema(
    name="locations",
    doc="one row per clip whose video is in the release: which bytes are its file",
    order=("clip_id",),
    row_group_rows=65_536,
    ranges=("clip_id",),
    dictionary=("part",),
    columns=(
        _CLIP,
        Column("member_id", pa.int32(), "", "see members; clips cut from one file share it", nullable=False),
        Column("part", pa.string(), "", "part of the release", nullable=False),
        Column("name", pa.string(), "", "as in members", nullable=False),
        Column("offset", pa.int64(), "bytes", "as in members", nullable=False),
        Column("size_bytes", pa.int64(), "bytes", "as in members", nullable=False),
    ),
)

KEYS = TableSchema(
    name="keys",
    doc="clips by key: one lookup reads one row group",
    order=("key_hash", "clip_id"),
    row_group_rows=16_384,
    ranges=("key_hash",),
    columns=(
        Column(
            "key_hash", pa.uint64(), "", "first 8 bytes, little-endian, of BLAKE2b-8 of the key's UTF-8", nullable=False
        ),
        _CLIP,
    ),
)

MASKS = TableSchema(
    name="masks",
    doc="one row per clip with masks: where its blob lies (see opens2v_data.catalog.masks)",
    order=("clip_id",),
    row_group_rows=65_536,
    ranges=("clip_id",),
    columns=(
        _CLIP,
        Column("file_idx", pa.int32(), "", "masks/masks-<file_idx>.bin", nullable=False),
        Column("offset", pa.int64(), "bytes", "first byte of the blob in that file", nullable=False),
        Column("size_bytes", pa.int32(), "bytes", "of the blob", nullable=False),
    ),
)

TABLES = {
    table.name: table
    for table in (
        CLIPS, CAPTIONS, SUBJECTS, CLASSES, CLASS_INDEX, PAIRS, VIEWS, BACKGROUNDS, MEMBERS, LOCATIONS, KEYS, MASKS,
    )
}  # fmt: skip
"""All tables by name."""
