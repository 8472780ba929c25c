"""What clips can be filtered and sorted by: the allow-list of names in the URL and what each stands for in SQL.

The texts here and in `conditions` are constants with `?` for values: nothing of a request becomes part of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from opens2v_data.sqlfiles import sql_names


@dataclass(frozen=True, kw_only=True)
class NumberField:
    """A number of a clip that can be filtered by a range.

    Attributes:
        name: in the URL.
        label: in words.
        unit: shown behind a number; "" where none applies.
        column: of clips.
        about: what it is, for a tooltip.
    """

    name: str
    label: str
    unit: str = ""
    column: str
    about: str


@dataclass(frozen=True, kw_only=True)
class ChoiceField:
    """A property of a clip that has some values to choose from.

    Attributes:
        name: in the URL.
        label: in words.
        column: of clips, whose values and counts `Slice.facets` gives; None: `size`, which is two of them.
        expected: what a value is, for messages.
        is_list: whether a clip has a list of values, any of which counts.
    """

    name: str
    label: str
    column: str | None
    expected: str
    is_list: bool = False


NUMBERS: dict[str, NumberField] = {
    one.name: one
    for one in (
        NumberField(
            name="aesthetic", label="Aesthetic", column="aesthetic", about="LAION aesthetic score, about 0 to 10"
        ),
        NumberField(name="motion", label="Motion", column="motion", about="mean optical flow, as upstream measured it"),
        NumberField(name="tech", label="Technical quality", column="tech", about="upstream's technical score"),
        NumberField(
            name="duration",
            label="Duration",
            unit="s",
            column="duration_seconds",
            about="length of the span that is trained on: the cut, or the part of it with a face",
        ),
        NumberField(
            name="area",
            label="Subject area",
            column="subject_area",
            about="share of the picture that the largest box of a subject covers",
        ),
        NumberField(
            name="similarity",
            label="Pair similarity",
            column="pair_similarity",
            about="the highest image similarity of the clip's cross-video pairs, cosine",
        ),
        NumberField(name="subjects", label="Subjects", column="num_subjects", about="subjects of the clip"),
        NumberField(name="masks", label="Masks", column="num_masks", about="masks of all annotated frames"),
        NumberField(name="frames", label="Frames", column="span_frames", about="frames of the span"),
        NumberField(name="width", label="Width", unit="px", column="crop_width", about="after the crop"),
        NumberField(name="height", label="Height", unit="px", column="crop_height", about="after the crop"),
        NumberField(
            name="aspect", label="Aspect ratio", column="aspect_ratio", about="width by height, after the crop"
        ),
    )
}
"""By name in the URL, in the order in which they are shown."""

BRUSHED = ("aesthetic", "motion", "tech", "duration", "area", "similarity")
"""Shown as histograms."""

CHOICES: dict[str, ChoiceField] = {
    one.name: one
    for one in (
        ChoiceField(name="category", label="Category", column="category", expected="a category, such as human_single"),
        ChoiceField(
            name="kind", label="Kind of subject", column="kinds", expected="a kind, such as human", is_list=True
        ),
        ChoiceField(
            name="source", label="Caption from", column="caption_source", expected="a field, such as face_cap_qwen"
        ),
        ChoiceField(name="part", label="Part", column="part", expected="a part of the release, such as total_part1"),
        ChoiceField(name="fps", label="Frame rate", column="fps", expected="a number of frames per second, such as 25"),
        ChoiceField(
            name="size", label="Frame size", column=None, expected="width x height in pixels, such as 1280x720"
        ),
        ChoiceField(
            name="quirk", label="Oddity of the record", column="quirks", expected="an oddity, such as nan", is_list=True
        ),
    )
}
"""By name in the URL, in the order in which they are shown."""

NONE = "~none"
"""The value of a choice that stands for "not recorded"."""

FAULTS: tuple[str, ...] = tuple(name.rpartition("/")[2] for name in sql_names("quality"))
"""The quality views of `sql/quality`."""

VerdictFilter = Literal["judged", "unjudged", "keep", "drop", "flag"]
VERDICTS: tuple[VerdictFilter, ...] = get_args(VerdictFilter)

SORTS: dict[str, str] = {name: field.column for name, field in NUMBERS.items()}
"""What clips can be sorted by: name in the URL to column of clips."""

SUBJECT_NUMBERS = {
    "gme": "similarity to its class name",
    "aes": "aesthetic score",
    "area": "share of the picture",
    "count": "how many",
}
"""What a subject can be asked for besides its class."""
