"""`opens2v slice`: each option chooses what the library's step chooses; files go to other commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import opens2v_data
from opens2v_data.cli.choosing import parse_subject
from opens2v_data.query.saved import read_facts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.conftest import Run
    from opens2v_data.query.slices import Slice

OPTIONS: dict[str, tuple[tuple[str, ...], Callable[[Slice], Slice]]] = {
    "none": ((), lambda s: s),
    "where": (("--where", "aesthetic > 5 -- good"), lambda s: s.where("aesthetic > 5")),
    "has": (
        ("--has", "woman", "--has", "man:count>=1"),
        lambda s: s.has_subject("woman").has_subject("man", count=">=1"),
    ),
    "numbers": (
        ("--has", "woman: gme > 0.2 , area>0.001,aes1..9"),
        lambda s: s.has_subject("woman", gme=">0.2", area=">0.001", aes="1..9"),
    ),
    "not has": (("--not-has", "woman:gme>0.3"), lambda s: s.lacks_subject("woman", gme=">0.3")),
    "not so many": (("--not-has", "woman:count>1"), lambda s: s.lacks_subject("woman", count=">1")),
    "search": (("--search", "a -woman"), lambda s: s.search("a -woman")),
    "search and caption": (
        ("--search", "a", "--where", "caption LIKE '%captions%' OR true"),
        lambda s: s.search("a"),
    ),
    "split": (("--split", "val:0.4", "--seed", "3"), lambda s: s.split("val", {"train": 0.6, "val": 0.4}, seed=3)),
    "default split": (("--split", "train"), lambda s: s.split("train")),
    "other split": (("--split", "test:0.3"), lambda s: s.split("test", {"train": 0.7, "test": 0.3})),
    "near": (("--near-duplicates", "only"), lambda s: s.near_duplicates("only")),
    "sort": (("--sort=-aesthetic, path", "--limit", "4"), lambda s: s.sort("-aesthetic", "path").limit(4)),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_choose_what_steps_choose(opens2v: Run, sample_catalog: Path, tmp_path: Path, name: str) -> None:
    options, step = OPTIONS[name]
    s = step(opens2v_data.open(sample_catalog).all)
    rows = s.to_arrow(["part", "clip_key"]).to_pylist()
    shown = opens2v("slice", sample_catalog, *options, "--ids", "--quiet")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines() == [f"{row['part']}/{row['clip_key']}" for row in rows]
    file = tmp_path / "x.slice.parquet"
    told = opens2v("slice", sample_catalog, *options, "--json", "-o", file)
    facts = json.loads(told.out)
    assert facts["num_clips"] == len(rows) and facts["file"] == str(file)
    assert read_facts(file).sql == facts["sql"]
    assert opens2v_data.open(sample_catalog).slice(file).ids().tolist() == s.ids().tolist()
    again = opens2v("slice", sample_catalog, "--slice", file)
    assert (again.code, again.err) == (0, f"{len(rows):,} of {len(opens2v_data.open(sample_catalog)):,} clips\n")


def test_the_statement_it_prints_gives_its_clips(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("slice", sample_catalog, "--where", "path != 'it''s ?'", "--has", "woman", "--sql", "--quiet")
    answer = opens2v("sql", sample_catalog, shown.out, "--json")
    expected = opens2v_data.open(sample_catalog).where("path IS NOT NULL").has_subject("woman").ids().tolist()
    assert [row["clip_id"] for row in json.loads(answer.out)] == expected != []


@pytest.mark.parametrize(
    "command", [("stream", "--json"), ("facets", "part", "--json"), ("sample", "--json", "-n", "99")]
)
def test_other_commands_take_its_file(
    opens2v: Run, sample_catalog: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    file = tmp_path / "a[1]*.slice.parquet"
    s = opens2v_data.open(sample_catalog).all.sort("-aesthetic").limit(3)
    s.save(file)
    name, *rest = command
    shown = opens2v(name, sample_catalog, *rest, "--slice", file, "--quiet")
    assert (shown.code, shown.err) == (0, "")
    if name == "facets":
        assert sum(row["num_clips"] for row in json.loads(shown.out)) == 3
    else:
        rows = json.loads(shown.out) if name == "sample" else [json.loads(line) for line in shown.out.splitlines()]
        assert {row["clip_key"] for row in rows} == set(s.to_arrow(["clip_key"]).column("clip_key").to_pylist())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("woman", ("woman", {})),
        ("woman:gme>0.3", ("woman", {"gme": ">0.3"})),
        ("ratio 4:3", ("ratio 4:3", {})),
        ("a:b:count==2", ("a:b", {"count": "==2"})),
        ("woman:gme-0.5..0.25", ("woman", {"gme": "-0.5..0.25"})),
        ("it's 100% \U0001f600:area<=1", ("it's 100% \U0001f600", {"area": "<=1"})),
    ],
)
def test_a_class_and_its_numbers_are_told_apart(text: str, expected: Any) -> None:
    assert parse_subject(text) == expected


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--where", "aesthetics > 5"), 1, "  aesthetics > 5\n  ^^^^^^^^^^\nnearest names: aesthetic"),
        (("--where", "aesthetic > 'high'"), 1, "Could not convert string 'high' to FLOAT"),
        (("--where", "aesthetic >"), 1, "is no SQL condition: Parser Error: syntax error"),
        (("--where", "true; DROP VIEW clips"), 1, "several SQL statements|is no SQL condition"),
        (("--where", "aesthetic > ?"), 2, "expected 1 values for the 1 marks `?`"),
        (("--where", ""), 2, "expected a SQL condition as text"),
        (("--has", "woman:gme>high"), 2, "for gme of 'woman', got '>high'"),
        (("--has", "woman:gme"), 2, "expected e.g. woman:gme>0.3"),
        (("--has", "woman:gme>0.3,gme<0.5"), 2, "expected gme once"),
        (("--search", '"open'), 1, "this quote is never closed"),
        (("--split", "test"), 2, "expected one of train, val, got 'test'"),
        (("--split", "train:much"), 2, "NAME:FRACTION, such as train:0.8, got 'train:much'"),
        (("--split", "train:nan"), 2, "fractions must lie in [0, 1]"),
        (("--sort", "aesthetics"), 1, "nearest names: aesthetic"),
        (("--near-duplicates", "keep"), 2, "invalid choice"),
        (("--limit", "0"), 2, "expected a whole number above 0"),
        (("--limit", "9" * 30), 1, "out of range"),
        (("--seed", "x"), 2, "invalid int value"),
        (("--where=--",), 2, "expected a value in --where=--"),
        (("--slice", "gone.parquet"), 1, "found no file; opens2v slice"),
        (("-o", "nowhere/x.parquet"), 2, "expected a folder to write 'nowhere/x.parquet' in"),
    ],
)
def test_a_mistake_is_told_in_words(
    opens2v: Run, sample_catalog: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    shown = opens2v("slice", sample_catalog, *options)
    assert (shown.code, shown.out) == (code, "")
    assert "Traceback" not in shown.err
    assert any(one in shown.err for one in message.split("|"))


def test_another_catalogs_slice_needs_remap(opens2v: Run, sample_catalog: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    file = tmp_path / "x.slice.parquet"
    opens2v_data.open(sample_catalog).all.limit(3).save(file)
    table = pq.ParquetFile(file).read()
    facts = json.loads(table.schema.metadata[b"opens2v_slice"]) | {"digest": "0" * 64}
    pq.write_table(table.replace_schema_metadata({b"opens2v_slice": json.dumps(facts).encode()}), file)
    refused = opens2v("slice", sample_catalog, "--slice", file)
    assert refused.code == 1 and "remap=True (--remap)" in refused.err
    found = opens2v("slice", sample_catalog, "--slice", file, "--remap")
    assert (found.code, found.err.split(" ")[0]) == (0, "3")
