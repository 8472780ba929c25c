"""The options that choose clips, for every command that takes a slice; and what makes a slice of them."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

from opens2v_data.cli.output import note, positive

if TYPE_CHECKING:
    from opens2v_data.dataset import OpenS2V
    from opens2v_data.query.slices import Slice

NEAR = """SELECT name FROM classes WHERE contains(lower(name), lower(?)) OR jaro_winkler_similarity(lower(name), lower(?)) > 0.8
ORDER BY class_id LIMIT 3"""

_NUMBER = re.compile(r"(gme|aes|area|count)\s*((?:<=|>=|!=|==|<|>|=)\s*[^,]+|\s*-?[\d.]+\.\.-?[\d.]+)")


def add_slice_arguments(parser: argparse.ArgumentParser, *, with_order: bool = True) -> None:
    """Add the options that choose clips; all of them must hold."""
    group = parser.add_argument_group("which clips")
    group.add_argument(
        "--where", metavar="SQL", help="a condition over the columns of clips; `opens2v sql --tables` lists them"
    )
    group.add_argument(
        "--has",
        metavar="CLASS[:NUMBERS]",
        action="append",
        default=[],
        help="with a subject of that class, e.g. woman, or 'woman:gme>0.3,area>0.1' (gme, aes, area as a share of the picture, "
        "count); may be given several times",
    )
    group.add_argument(
        "--not-has",
        metavar="CLASS[:NUMBERS]",
        action="append",
        default=[],
        help="without such a subject; several times",
    )
    group.add_argument(
        "--search", metavar="TEXT", help="whose caption has these words: 'guitar AND \"living room\" NOT dog'"
    )
    group.add_argument(
        "--near-duplicates",
        choices=("drop", "only"),
        help="of clips that show the same thing keep the first, or only such",
    )
    group.add_argument(
        "--without",
        metavar="FAULT",
        action="append",
        default=[],
        help="not among those of a quality view: near_copies, empty_masks, alike_pairs, …; several times",
    )
    group.add_argument(
        "--split", metavar="NAME[:F]", help="train or val (0.9 and 0.1 by source video), or e.g. train:0.8"
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of --split and of samples (default: 0)")
    group.add_argument("--slice", metavar="FILE", dest="from_slice", help="among those of a saved slice")
    group.add_argument(
        "--remap", action="store_true", help="the saved slice may be of another catalog: find its clips by part and key"
    )
    if with_order:
        group.add_argument(
            "--sort",
            metavar="COLUMNS",
            help="e.g. -aesthetic,motion: descending, then ascending",
        )
        group.add_argument("--limit", type=positive, metavar="N", help="the first N in that order (default: all)")


def chosen(dataset: OpenS2V, arguments: argparse.Namespace) -> Slice:
    """Return the slice that the options choose."""
    s: Slice = dataset.all
    if arguments.from_slice is not None:
        s = dataset.slice(arguments.from_slice, remap=arguments.remap)
    if arguments.where is not None:
        s = s.where(arguments.where)
    for text in arguments.has:
        name, numbers = parse_subject(text)
        s = s.has_subject(name, **numbers)
        _note_unknown(dataset, name)
    for text in arguments.not_has:
        name, numbers = parse_subject(text)
        s = s.lacks_subject(name, **numbers)
        _note_unknown(dataset, name)
    if arguments.search is not None:
        s = s.search(arguments.search)
    if arguments.split is not None:
        s = _split(s, arguments.split, arguments.seed)
    if arguments.near_duplicates is not None:
        s = s.near_duplicates(arguments.near_duplicates)
    for fault in arguments.without:
        s = s.faults(fault)
    if getattr(arguments, "sort", None) is not None:
        s = s.sort(*(column.strip() for column in arguments.sort.split(",")))
    if getattr(arguments, "limit", None) is not None:
        s = s.limit(arguments.limit)
    return s


def where_of(dataset: OpenS2V, arguments: argparse.Namespace, *, config: str = "regular") -> str | None:
    """Return the condition that --where and --slice make together, as one text; of pairs, both clips are in the slice."""
    if arguments.from_slice is None:
        return arguments.where
    ids = dataset.slice(arguments.from_slice).spec.ids().literal()
    sides = ("clip_id", "partner_clip_id") if config == "nexus-cross" else ("clip_id",)
    conditions = [f"{side} IN ({ids})" for side in sides]
    if arguments.where is not None:
        conditions.append(f"({arguments.where}\n)")
    return " AND ".join(conditions)


def parse_subject(text: str) -> tuple[str, dict[str, Any]]:
    """Return a class name and what is asked of its numbers, from `woman:gme>0.3,area>0.1`.

    Raises:
        ValueError: there is no class name, or what stands after the last colon looks like numbers and is none.
    """
    name, colon, numbers = text.rpartition(":")
    if not (name if colon else text).strip():
        raise ValueError(f"expected the name of a class, such as woman, got {text!r}")
    if not colon:
        return text, {}
    if not re.match(r"\s*((gme|aes|area|count)\b|\w+\s*[<>=!])", numbers):
        return text, {}  # a colon in the class name
    asked: dict[str, Any] = {}
    for one in numbers.split(","):
        found = _NUMBER.fullmatch(one.strip())
        if found is None:
            raise ValueError(
                f"expected e.g. woman:gme>0.3,area>0.1,count>=2 (gme, aes, area, count), found {one!r} in {text!r}"
            )
        if found[1] in asked:
            raise ValueError(f"expected {found[1]} once in {text!r}; a range is written {found[1]}0.2..0.5")
        asked[found[1]] = found[2].strip()
    return name, asked


def _note_unknown(dataset: OpenS2V, name: str) -> None:
    """Say that no class has a name, and which come near: a class is meant by exactly its name."""
    if not dataset.sql("SELECT name FROM classes WHERE name = ?", name).num_rows:
        near = dataset.sql(NEAR, name, name).column("name").to_pylist()
        note(f"warning: no class is called {name!r}{'; near it: ' if near else ''}{', '.join(near)}")


def _split(s: Slice, text: str, seed: int) -> Slice:
    name, colon, share = text.partition(":")
    if not colon:
        return s.split(name, seed=seed)
    try:
        fraction = float(share)
    except ValueError as error:
        raise ValueError(f"expected --split NAME or NAME:FRACTION, such as train:0.8, got {text!r}") from error
    shares = {"train": fraction, "val": 1 - fraction} if name == "train" else {"train": 1 - fraction, name: fraction}
    return s.split(name, shares, seed=seed)
