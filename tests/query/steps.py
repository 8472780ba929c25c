"""Steps of slices for Hypothesis to draw: each to a slice and to plain Python at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from opens2v_data.query.slices import Slice
from query.worlds import NAMES, Plain, World

WORLDS = ("sample", "random", "random, in memory")
SORTABLE = (
    "aesthetic", "motion", "tech", "path", "clip_key", "caption", "subject_tags", "num_subjects", "duration_seconds",
    "aspect_ratio", "face_cut_start", "video_size_bytes", "json_offset", "part", "clip_id",
)  # fmt: skip
SOME = settings(max_examples=14, deadline=None, suppress_health_check=[HealthCheck.too_slow])

SCORES = st.sampled_from([0.25, 0.3, 4.25, 4.5, 5.0, 6.5, -1.5, 0.0, 1e-300, float(np.float32(0.3))])
TEXTS = st.sampled_from(NAMES) | st.text("ab?'%-;$ \U0001f600", max_size=4)


def number(value: Any, other: Any) -> bool | None:
    """Compare as SQL does: null with anything is null."""
    return None if value is None else value > other


CONDITIONS: dict[str, tuple[tuple[st.SearchStrategy[Any], ...], Any]] = {
    "aesthetic > ?": ((SCORES,), lambda world, clip, least: number(clip["aesthetic"], least)),
    "aesthetic -? > 0": ((SCORES,), lambda world, clip, less: number(clip["aesthetic"], less)),
    "tech > ? OR motion IS NULL -- ? '": (
        (SCORES,),
        lambda world, clip, least: number(clip["tech"], least) or clip["motion"] is None,
    ),
    "contains(caption, ?)": (
        (TEXTS,),
        lambda world, clip, text: None if clip["caption"] is None else text in clip["caption"],
    ),
    "path = ? OR '?' = ?": (
        (st.sampled_from(["a/1.mp4", "b c/2.mp4"]), TEXTS),
        lambda world, clip, path, text: clip["path"] == path or text == "?",
    ),
    "list_contains(?, part)": (
        (st.lists(st.sampled_from(["total_part1", "x'y", "?"]), max_size=3),),
        lambda world, clip, parts: clip["part"] in parts,
    ),
    "has_tag(subject_tags, ?)": ((TEXTS,), lambda world, clip, text: text in clip["subject_tags"]),
    "has_subject(clip_id, ?, min_gme := ?)": (
        (TEXTS, SCORES),
        lambda world, clip, name, least: any(
            subject["class_name"] == name and subject["gme_score"] is not None and subject["gme_score"] >= least
            for subject in world.subjects[clip["clip_id"]]
        ),
    ),
    "clip_id IN (SELECT clip_id FROM captions WHERE caption LIKE '%?%' OR caption = ?)": (
        (TEXTS,),
        lambda world, clip, text: clip["caption"] is not None and ("?" in clip["caption"] or clip["caption"] == text),
    ),
    "num_subjects % ?": ((st.sampled_from([2, 3]),), lambda world, clip, by: clip["num_subjects"] % by != 0),
    "?": ((st.booleans() | st.none(),), lambda world, clip, value: value),
    "video_size_bytes IS NULL": ((), lambda world, clip: clip["video_size_bytes"] is None),
}


def asked_number(draw: Any, scores: list[float]) -> tuple[Any, Any]:
    """Return a comparison as users write it, and as Python."""
    least, most = sorted([draw(st.sampled_from(scores)), draw(st.sampled_from(scores))])
    return draw(
        st.sampled_from(
            [
                (least, lambda value: value >= least),
                (f">{least}", lambda value: value > least),
                (f" >= {least!r} ", lambda value: value >= least),
                (f"<{most}", lambda value: value < most),
                (f"<= {most}", lambda value: value <= most),
                (f"=={least}", lambda value: value == least),
                (f"!={least}", lambda value: value != least),
                (f"{least}..{most}", lambda value: least <= value < most),
            ]
        )
    )


@st.composite
def step(draw: Any, kinds: tuple[str, ...]) -> tuple[str, Any]:
    """Return a name, and a function from a slice and plain Python to both after the step."""
    kind = draw(st.sampled_from(kinds))
    if kind == "where":
        sql = draw(st.sampled_from(sorted(CONDITIONS)))
        strategies, predicate = CONDITIONS[sql]
        values = [draw(one) for one in strategies]

        def where(s: Slice, p: Plain) -> tuple[Slice, Plain]:
            return s.where(sql, *values), p.where(lambda clip: predicate(p.world, clip, *values))

        return f"where({sql!r}, {values})", where
    if kind in ("has", "lacks"):
        name = draw(TEXTS | st.sampled_from(["dog", "man", "blue top"]))
        limits = {"gme": [0.25, 0.3, 0.0], "aes": [4.5, 5.0], "area": [0.05, 0.25, 0.5]}
        numbers = {
            key: asked_number(draw, limits[key]) for key in draw(st.sets(st.sampled_from(sorted(limits)), max_size=2))
        }
        tests = {key: test for key, (_, test) in numbers.items()}
        texts = {key: text for key, (text, _) in numbers.items()}
        if kind == "lacks":
            return f"lacks({name!r}, {texts})", lambda s, p: (
                s.lacks_subject(name, **texts),
                p.subject(name, is_there=False, **tests),
            )
        text, count = (
            draw(st.none().map(lambda _: (None, None))) if draw(st.booleans()) else asked_number(draw, [1, 2, 3])
        )
        return f"has({name!r}, {texts}, {text})", lambda s, p: (
            s.has_subject(name, count=text, **texts),
            p.subject(name, count=count, **tests),
        )
    if kind == "near":
        mode, alike = draw(st.sampled_from(["drop", "only"])), draw(st.sampled_from([-1.0, 0.5, 0.97, 1]))
        return f"near({mode}, {alike})", lambda s, p: (
            s.near_duplicates(mode, similarity=alike),
            # Stored as float32.
            p.near_duplicates(mode, alike),
        )
    if kind == "split":
        shares = draw(st.sampled_from([{"train": 0.5, "val": 0.5}, {"a'": 0.3, "b": 0.0, "?": 0.45}, {"all": 1}]))
        name, seed = draw(st.sampled_from(sorted(shares))), draw(st.integers(-5, 5))
        by = draw(st.sampled_from(["cluster", "clip"]))
        return f"split({name})", lambda s, p: (s.split(name, shares, seed=seed, by=by), p.split(name, shares, seed, by))
    if kind == "sample":
        many, seed = draw(st.integers(0, 45)), draw(st.integers(-3, 2**70))
        by = draw(
            st.none() | st.sampled_from(["part", "num_subjects", "motion", "subject_tags", "caption", "category"])
        )
        return f"sample({many}, {by}, {seed})", lambda s, p: (
            s.sample(many, by=by, seed=seed),
            p.sample(many, by, seed),
        )
    if kind == "sort":
        columns = draw(st.lists(st.sampled_from(SORTABLE), max_size=2))
        signed = [draw(st.sampled_from(["", "-"])) + column for column in columns]
        return f"sort({signed})", lambda s, p: (s.sort(*signed), p.sort(*signed))
    if kind == "limit":
        many = draw(st.integers(0, 40))
        return f"limit({many})", lambda s, p: (s.limit(many), p.limit(many))
    ids = draw(st.lists(st.integers(-3, 45), max_size=20))
    known = [one for one in ids if one >= 0]
    return f"ids({ids})", lambda s, p: (s.with_ids(ids), p.where(lambda clip: clip["clip_id"] in known))


STEPS = ("where", "where", "has", "lacks", "near", "split", "sample", "sort", "limit", "ids")
chains = st.lists(step(STEPS), max_size=4)


def apply(world: World, chain: list[tuple[str, Any]]) -> tuple[Slice, Plain]:
    s, p = world.opened.all, world.all
    for _, one in chain:
        s, p = one(s, p)
    return s, p
