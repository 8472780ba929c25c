"""What is told of the videos: the clips of the sample release, and which clip carries which quirk.

A subject is named `(class name, what)`, where what is

    "0"        actor 0 of the video: what is seen of it
    "0.top"    a part of actor 0, or a thing it holds
    "0~2"      actor 0, its outline two pixels thinner: the near-identical regions that several phrases give
    "@ground"  a region of the plate
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opens2v_data.sample.cast import FLAT_PART

if TYPE_CHECKING:
    from opens2v_data.sample.film import Video


@dataclass(frozen=True, kw_only=True)
class Take:
    """One clip: a range of a video with its record.

    Attributes:
        video: number of the video.
        face_cut: None: the record has none.
        subjects: `(class name, what)`, see above, in object_id order.
        tags: background, subject, object.
        aesthetic: before a small jitter; None: the record has none.
        background: whether the release has its plate.
        views: class names that GPT drew, with the actor to draw (see `subjects`).
        old_suffix: whether the views' folder carries an older stage suffix.
    """

    video: int
    caption: str
    subjects: tuple[tuple[str, str], ...]
    tags: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]] = field(repr=False)
    cut: tuple[int, int]
    face_cut: tuple[int, int] | None
    aesthetic: float | None
    quirk: str | None = None
    background: bool = False
    views: tuple[tuple[str, str], ...] = ()
    old_suffix: bool = False


TAKES: tuple[Take, ...] = (
    Take(
        video=1, cut=(0, 91), face_cut=(0, 91), aesthetic=6.4, background=True,
        caption="A woman with long dark hair and a red top walks her brown dog across a flower meadow on a bright "
        "morning. "
        "A blue and white ball bounces ahead of them towards the right.\n\nThe camera stays still; green hills and "
        "small "
        "pines lie behind, and white clouds stand in a clear sky.",
        subjects=(("woman", "1"), ("red top", "1.top"), ("dog", "2"), ("ball", "0"), ("grassy area", "@ground")),
        tags=(("meadow", "grassy area", "sky"), ("woman", "dog"), ("red top", "ball")),
        views=(("woman", "1"), ("dog", "2"), ("ball", "0")),
    ),
    Take(
        video=2, cut=(0, 61), face_cut=(0, 61), aesthetic=4.6, quirk="missing_gme_score", background=True,
        caption="The woman in the red top walks her brown dog along a street of painted houses while a blue car "
        "passes behind.",
        subjects=(("woman", "1"), ("dog", "2"), ("blue car", "0"), ("red top", "1.top")),
        tags=(("street", "houses"), ("woman", "dog"), ("blue car", "red top")),
    ),
    Take(
        video=3, cut=(0, 61), face_cut=(0, 61), aesthetic=6.8, quirk="lone_surrogate", background=True,
        caption="On a sunny beach a woman in a red top stands by the water \ud83d and her brown dog runs along the "
        "sand. "
        "A sailing boat drifts on the calm sea behind them.",
        subjects=(("individual", "1"), ("dog", "2"), ("sailboat", "0"), ("red top", "1.top"), ("sea", "@water")),
        tags=(("beach", "sea", "sand"), ("individual", "dog"), ("sailboat", "red top")),
    ),
    Take(
        video=4, cut=(0, 97), face_cut=(0, 97), aesthetic=5.6, quirk="caption_aria", background=True,
        caption="A man with round glasses and a blue sweater plays an acoustic guitar in a living room. Beside him a "
        "woman "
        "with her hair in a bun listens with a white cup in her hand.",
        subjects=(("man", "1"), ("guitar", "1.guitar"), ("glasses", "1.glasses"), ("woman", "0"), ("white cup",
            "0.cup"),
                  ("blue sweater", "1.top")),
        tags=(("living room", "window"), ("man", "woman"), ("guitar", "glasses", "white cup", "blue sweater")),
        views=(("man", "1"), ("guitar", "1.guitar"), ("white cup", "0.cup")), old_suffix=True,
    ),
    Take(
        video=5, cut=(0, 61), face_cut=(2, 61), aesthetic=5.3, quirk="caption_glm", background=True,
        caption="The man with the guitar strolls down a park path between autumn trees and plays as he walks.",
        subjects=(("man", "1"), ("guitar", "1.guitar"), ("tree", "0"), ("blue sweater", "1.top"), ("glasses",
            "1.glasses")),
        tags=(("park", "path"), ("man",), ("guitar", "tree", "blue sweater", "glasses")),
    ),
    Take(
        video=6, cut=(0, 61), face_cut=(0, 61), aesthetic=6.1, quirk="near_duplicates", background=True,
        caption="A girl with pigtails, a yellow top and a pink skirt holds three balloons, red, yellow and blue, in "
        "a meadow.",
        subjects=(("girl", "3"), ("child", "3~1"), ("person", "3~1"), ("individual", "3"), ("red balloon", "2"),
                  ("balloon", "2~1"), ("balloon", "1"), ("yellow balloon", "1~1"), ("balloon", "0"), ("yellow top",
                      "3.top"),
                  ("grassy area", "@ground"), ("meadow", "@ground")),
        tags=(("meadow", "grassy area"), ("girl", "child", "individual"), ("red balloon", "yellow balloon",
            "yellow top")),
        views=(("girl", "3"), ("red balloon", "2"), ("young girl in yellow", "3")),
    ),
    Take(
        video=7, cut=(52, 121), face_cut=(60, 115), aesthetic=6.6, background=True,
        caption="In the last light of the day the girl with pigtails walks over a hill with her red balloon, and an "
        "orange "
        "kite climbs in the wind before her.",
        subjects=(("girl", "2"), ("red balloon", "1"), ("kite", "0"), ("yellow top", "2.top"), ("grassy area",
            "@ground")),
        tags=(("hills", "sunset", "grassy area"), ("girl",), ("red balloon", "kite", "yellow top")),
        views=(("girl", "2"), ("kite", "0")),
    ),
    Take(
        video=7, cut=(0, 48), face_cut=(4, 46), aesthetic=5.9, quirk="more_annotations_than_masks",
        caption="The girl with the red balloon enters from the left at sunset; a kite flies over the hills.",
        subjects=(("girl", "2"), ("red balloon", "1"), ("grassy area", "@ground"), ("kite", "0"), ("yellow top",
            "2.top")),
        tags=(("hills", "sunset", "grassy area"), ("girl",), ("red balloon", "kite", "yellow top")),
    ),
    Take(
        video=8, cut=(0, 61), face_cut=(0, 61), aesthetic=None, quirk="missing_aesthetic",
        caption="A red car drives along a street of painted houses. A man in a green jacket walks the other way.",
        subjects=(("red car", "1"), ("man", "0"), ("green jacket", "0.top")),
        tags=(("street", "houses"), ("man",), ("red car", "green jacket")),
    ),
    Take(
        video=9, cut=(0, 61), face_cut=(0, 61), aesthetic=5.2, quirk="mask_map_extra_class", background=True,
        caption="The red car passes a man in a green jacket on a road below snowy mountains.",
        subjects=(("red car", "0"), ("person", "1"), ("green jacket", "1.top"), ("road", "@ground")),
        tags=(("mountains", "road"), ("person",), ("red car", "green jacket")),
    ),
    Take(
        video=10, cut=(0, 49), face_cut=(0, 49), aesthetic=5.8, quirk="empty_mask", background=True,
        caption="A woman in a blue coat walks up to a snowman with a red scarf and a black hat on a winter afternoon.",
        subjects=(("woman", "1"), ("snowman", "0"), ("scarf", "0.scarf"), ("hat", "0.hat"), ("gloves", "")),
        tags=(("snow", "pines"), ("woman", "snowman"), ("scarf", "hat", "gloves")),
    ),
    Take(
        video=11, cut=(0, 49), face_cut=None, aesthetic=4.9, quirk="missing_face_cut", background=True,
        caption="Two ducks swim across a quiet pond with reeds and water lilies; a small sailing boat lies far behind.",
        subjects=(("duck", "2"), ("duck", "1"), ("sailboat", "0"), ("pond", "@water")),
        tags=(("pond", "reeds"), ("duck",), ("sailboat",)),
    ),
    Take(
        video=12, cut=(0, 49), face_cut=(0, 49), aesthetic=6.2, quirk="nan_motion", background=True,
        caption="A woman with a yellow umbrella walks a black dog under street lamps at night; the windows behind "
        "are lit.",
        subjects=(("woman", "0"), ("yellow umbrella", "0.umbrella"), ("dog", "1"), ("collar", "1.collar")),
        tags=(("night street", "lamps"), ("woman", "dog"), ("yellow umbrella", "collar")),
    ),
    Take(
        video=13, cut=(0, 49), face_cut=(0, 49), aesthetic=4.4, quirk="numbers_as_strings",
        caption="A woman in a purple sweater stands on a rug in her living room. A ginger cat watches a ball roll by.",
        subjects=(("woman", "0"), ("cat", "1"), ("ball", "2"), ("purple sweater", "0.top")),
        tags=(("living room", "rug"), ("woman", "cat"), ("ball", "purple sweater")),
    ),
    Take(
        video=14, cut=(0, 49), face_cut=(0, 49), aesthetic=4.8, quirk="box_out_of_frame",
        caption="Two striped hot-air balloons rise before snowy mountains while a yellow car drives into the picture.",
        subjects=(("hot air balloon", "0"), ("hot air balloon", "1"), ("basket", "0.basket"), ("yellow car", "2")),
        tags=(("mountains", "sky"), ("hot air balloon",), ("basket", "yellow car")),
    ),
    Take(
        video=15, cut=(0, 49), face_cut=(0, 49), aesthetic=4.1, quirk="caption_list",
        caption="A man with a blue umbrella walks past painted houses; a yellow car drives by.",
        subjects=(("man", "1"), ("blue umbrella", "1.umbrella"), ("yellow car", "0")),
        tags=(("street",), ("man",), ("blue umbrella", "yellow car")),
    ),
    Take(
        video=16, cut=(0, 49), face_cut=(0, 49), aesthetic=3.9, quirk="mask_size",
        caption="A boy in an orange shirt meets a tin robot in an autumn park.",
        subjects=(("boy", "1"), ("robot", "0"), ("orange shirt", "1.top")),
        tags=(("park",), ("boy", "robot"), ("orange shirt",)),
    ),
    Take(
        video=17, cut=(0, 49), face_cut=(0, 49), aesthetic=4.7, quirk="duplicate_key",
        caption="A man in an orange shirt kicks a red and white beach ball along the shore.",
        subjects=(("man", "0"), ("beach ball", "1"), ("orange shirt", "0.top"), ("sand", "@ground")),
        tags=(("beach", "sand"), ("man",), ("beach ball", "orange shirt")),
    ),
    Take(
        video=18, cut=(0, 49), face_cut=(0, 49), aesthetic=3.5, quirk="null_mask_annotation",
        caption="A woman in a purple sweater watches an orange hot-air balloon rise at sunset, with a warm caf\u00e9 "
        "far behind.",
        subjects=(("woman", "1"), ("hot air balloon", "0"), ("purple sweater", "1.top")),
        tags=(("hills", "sunset"), ("woman",), ("hot air balloon", "purple sweater")),
    ),
    Take(
        video=19, cut=(0, 49), face_cut=(0, 49), aesthetic=4.3, quirk="absent_video",
        caption="A woman in a blue top walks past a round tree on a green meadow.",
        subjects=(("woman", "1"), ("tree", "0"), ("blue top", "1.top")),
        tags=(("meadow",), ("woman",), ("tree", "blue top")),
    ),
)  # fmt: skip

CAPTION_ALTERNATIVES = ("A street scene with a man, an umbrella and a car.",)
"""What the clip whose caption is a list says besides."""

DUPLICATE_CAPTION = "The same beach, told once more: a ball, a man and the sea."

UNLOADABLE_STEM, UNLOADABLE_PART = "wR5tJk8ZcB1_segment2", FLAT_PART

OLD_FORM_CLUSTER = "gm998214402-269903117"
"""Its pairs are in the form without parts and class ids."""


def clip_key(take: Take, video: Video) -> str:
    """Give a take's key, with upstream's stage suffixes."""
    first = take.face_cut or take.cut
    return f"{video.stem}_step1-{take.cut[0]}-{take.cut[1]}_step2-{first[0]}-{first[1]}_step3_step4_step5"


def cluster_of(key: str) -> str:
    """Give a key's cluster by upstream's rule: up to `_segment`, else up to `_part`."""
    for mark in ("_segment", "_part"):
        if mark in key:
            return key.split(mark)[0]
    return key
