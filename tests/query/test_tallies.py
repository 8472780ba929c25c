"""Counting in one reading: the same as each question alone, as plain Python, and as plain SQL over the files."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import opens2v_data
from opens2v_data.errors import QueryError
from opens2v_data.query import tallies
from opens2v_data.query.slices import Slice
from opens2v_data.query.tallies import Facet, Histogram
from query.worlds import Plain, World, make_world, open_world, sort_key

SOME = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
KINDS = ("files", "memory", "memory with bins")
ENDS = {
    "aesthetic": (4.25, 6.0),
    "motion": (0.0, 0.05),
    "tech": (-1.0, 1.5),
    "duration_seconds": (0.5, 3.0),
    "subject_area": (0.0, 1.0),
    "aspect_ratio": (0.5, 2.0),
    "num_subjects": (0.0, 4.0),
}
FACETS: tuple[Facet, ...] = (
    "category", "caption_source", "part", "fps", "quirks", "path", "kinds", "num_subjects", "subject_tags",
    ("crop_width", "crop_height"), ("part", "category", "fps"), ("clip_id",),
)  # fmt: skip
CONDITIONS: dict[str, Any] = {
    "true": lambda clip: True,
    "false": lambda clip: False,
    "aesthetic >= 5": lambda clip: None if clip["aesthetic"] is None else clip["aesthetic"] >= 5,
    "part = 'total_part1' OR fps IS NULL": lambda clip: clip["part"] == "total_part1" or clip["fps"] is None,
    "path IS NOT NULL": lambda clip: clip["path"] is not None,
    "list_has_any(quirks, ['nan', 'none of ours'])": lambda clip: "nan" in clip["quirks"],
    "len(quirks) = 0": lambda clip: not clip["quirks"],
    "contains(caption, 'woman')": lambda clip: None if clip["caption"] is None else "woman" in clip["caption"],
    "category LIKE 'single%' -- (": lambda clip: clip["category"].startswith("single"),
}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, World]:
    """One random catalog, opened thrice."""
    root = tmp_path_factory.mktemp("tallies")
    made = {"files": make_world(root, 11, num_clips=40)}
    for kind in KINDS[1:]:
        made[kind] = open_world(root / "catalog", root / "release")
        made[kind].opened.query.build_categories()
        made[kind].opened.warm()
    for bins in (7, 200):
        made["memory with bins"].opened.query.keep_bins(ENDS, bins=bins)
    return made


def expected_facet(p: Plain, facet: Facet) -> list[tuple[Any, ...]]:
    if isinstance(facet, str):
        return [(row["value"], row["num_clips"]) for row in p.facets(facet)]
    counts: dict[tuple[Any, ...], int] = {}
    for clip in p.rows():
        values = tuple(clip[column] for column in facet)
        counts[values] = counts.get(values, 0) + 1
    ranked = sorted(counts.items(), key=lambda one: (-one[1], *(sort_key(value, False) for value in one[0])))
    return [(*values, number) for values, number in ranked]


def told(histogram: Histogram) -> Any:
    return (
        histogram.column, histogram.edges.tolist(), histogram.counts.tolist(), histogram.num_null,
        histogram.num_below, histogram.num_above,
    )  # fmt: skip


@SOME
@given(
    kind=st.sampled_from(KINDS),
    condition=st.sampled_from(sorted(CONDITIONS)),
    facets=st.lists(st.sampled_from(FACETS), max_size=6),
    hists=st.lists(st.sampled_from(sorted(ENDS)), max_size=5),
    bins=st.sampled_from([1, 7, 200, 40_000]),
    limit=st.sampled_from([1, 3, 1000]),
    first=st.none() | st.integers(0, 30),
)
def test_a_tally_counts_what_python_counts(
    worlds: dict[str, World],
    kind: str,
    condition: str,
    facets: list[Facet],
    hists: list[str],
    bins: int,
    limit: int,
    first: int | None,
) -> None:
    world = worlds[kind]
    s, p = world.opened.where(condition), world.all.where(CONDITIONS[condition])
    if first is not None:
        s, p = s.sort("-aesthetic").limit(first), p.sort("-aesthetic").limit(first)
    found = s.tally(facets, hists, bins=bins, ends=ENDS, limit=limit)
    assert found.num_clips == len(p.ids)
    assert list(found.facets) == list(dict.fromkeys(facets))
    for facet, table in found.facets.items():
        assert [tuple(row.values()) for row in table.to_pylist()] == expected_facet(p, facet)[:limit]
        alone = s.facets(facet, limit=limit) if isinstance(facet, str) else s.groups(facet, limit=limit)
        assert table.equals(alone)
    assert list(found.hists) == list(dict.fromkeys(hists))
    alone = s.hists(hists, bins=bins, ends=ENDS)
    for column, histogram in found.hists.items():
        assert told(histogram) == told(alone[column])
        low, high = ENDS[column]
        values = [world.clips[clip_id].get(column) for clip_id in p.ids] if column != "subject_area" else None
        if values is None:
            continue
        counts = [0] * bins
        for value in values:
            if value is not None and low <= value <= high:
                counts[min(math.floor((value - low) * bins / (high - low)), bins - 1)] += 1
        assert histogram.counts.tolist() == counts
        assert histogram.num_null == values.count(None)
        assert histogram.num_below == sum(value is not None and value < low for value in values)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tally_counts_what_sql_counts_in_the_files(worlds: dict[str, World], kind: str) -> None:
    opened = worlds[kind].opened
    clips = f"read_parquet('{opened.catalog.local_path(opened.catalog.manifest.tables['clips'].path)}')"
    found = opened.where("motion >= 0 OR tech > 1").tally(
        ["part", "fps", "caption_source", "quirks"], ["aesthetic", "tech"], bins=7, ends=ENDS, limit=1000
    )
    where = "(motion >= 0 OR tech > 1)"
    for facet, table in found.facets.items():
        value = "unnest(list_distinct(quirks))" if facet == "quirks" else facet
        sql = (
            f"SELECT value, count(*) AS num_clips FROM (SELECT {value} AS value FROM {clips} WHERE {where}) "
            "GROUP BY value ORDER BY num_clips DESC, value"
        )
        assert [tuple(row.values()) for row in table.to_pylist()] == duckdb.execute(sql).fetchall()
    for column, histogram in found.hists.items():
        sql = f"SELECT {column}::DOUBLE FROM {clips} WHERE {where} AND {column} IS NOT NULL"
        values = np.array([row[0] for row in duckdb.execute(sql).fetchall()])
        low, high = ENDS[column]
        assert histogram.counts.sum() == ((values >= low) & (values <= high)).sum() > 0
        assert (histogram.num_below, histogram.num_above) == ((values < low).sum(), (values > high).sum())
    assert duckdb.execute(f"SELECT count(*) FROM {clips} WHERE {where}").fetchall() == [(found.num_clips,)]


def test_many_things_are_counted_in_several_readings(worlds: dict[str, World], monkeypatch: pytest.MonkeyPatch) -> None:
    s = worlds["files"].opened.where("aesthetic >= 4.5")
    facets: list[Facet] = ["part", "fps", ("part", "fps"), "category"]
    whole = s.tally(facets, list(ENDS), bins=7, ends=ENDS)
    monkeypatch.setattr(tallies, "SETS_AT_ONCE", 3)
    some = s.tally(facets, list(ENDS), bins=7, ends=ENDS)
    assert some.num_clips == whole.num_clips == s.count()
    assert all(some.facets[facet].equals(whole.facets[facet]) for facet in facets)
    assert [*map(told, some.hists.values())] == [*map(told, whole.hists.values())]
    monkeypatch.undo()
    columns = [name for name, type_ in s.query.columns("regular") if not type_.endswith("[]")]
    pairs: list[Facet] = [(one, other) for one in columns[:4] for other in columns[:6] if one != other]
    counted = s.tally(pairs, limit=1000)
    assert len(counted.facets) == 20
    assert all(sum(table.column("num_clips").to_pylist()) == s.count() for table in counted.facets.values())


def test_a_tally_of_nothing_is_a_count(worlds: dict[str, World]) -> None:
    s = worlds["files"].opened.where("aesthetic >= 4.5")
    nothing = s.tally()
    assert (nothing.num_clips, dict(nothing.facets), dict(nothing.hists)) == (s.count(), {}, {})
    only_lists = s.tally(["quirks"])
    assert only_lists.num_clips == s.count()
    assert only_lists.facets["quirks"].equals(s.facets("quirks"))
    assert repr(s.tally(["part"], ["motion"])).endswith("clips by part, motion)")


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        (lambda s: s.tally("part"), TypeError, "facets must be a list of names, got the text 'part'"),
        (lambda s: s.tally([], "motion"), TypeError, "columns must be a list of names, got the text 'motion'"),
        (lambda s: s.tally(["nothing"]), QueryError, "clips has no column 'nothing'"),
        (lambda s: s.tally([("part", "nothing")]), QueryError, "clips has no column 'nothing'"),
        (lambda s: s.tally([("part", "part")]), ValueError, "columns must name at least one column and none twice"),
        (lambda s: s.tally(["part"], limit=0), ValueError, "limit must be 1 or more, got 0"),
        (lambda s: s.tally([], ["part"]), QueryError, "expected a column of numbers, part is VARCHAR"),
        (lambda s: s.tally([], ["motion"], bins=0), ValueError, "bins must be from 1 to 100,000, got 0"),
        (lambda s: s.tally([], ["motion"], ends={"motion": (1, 0)}), ValueError, "expected lo < hi, got 1 and 0"),
    ],
)
def test_what_cannot_be_counted_is_told(worlds: dict[str, World], ask: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ask(worlds["files"].opened.all)


# -- bins in memory


def statements(s: Slice, monkeypatch: pytest.MonkeyPatch, ask: Any) -> str:
    """Return the SQL that a question asks."""
    found: list[str] = []
    plain = type(s.query).ask
    with monkeypatch.context() as patch:
        patch.setattr(
            type(s.query), "ask", lambda query, sql, *a, **named: (found.append(sql), plain(query, sql, *a, **named))[1]
        )
        ask()
    return "\n".join(found)


def test_bins_that_are_kept_are_read_where_they_are_those_asked_for(
    worlds: dict[str, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = worlds["memory with bins"].opened
    s = opened.where("aesthetic >= 4.5")

    def asked(s: Slice, columns: list[str], **given: Any) -> str:
        return statements(s, monkeypatch, lambda: s.hists(columns, **given))

    assert "bin 0 of aesthetic" in asked(s, ["aesthetic"], bins=7, ends=ENDS)
    assert "of aesthetic" not in asked(s, ["aesthetic"], bins=8, ends=ENDS)
    assert "of aesthetic" not in asked(s, ["aesthetic"], bins=7, ends={"aesthetic": (4.25, 6.5)})
    # What is not in memory is read from files, with all else that is asked.
    assert "of aesthetic" not in asked(s.where("path IS NOT NULL"), ["aesthetic"], bins=7, ends=ENDS)
    assert "of duration_seconds" in asked(s, ["duration_seconds"], bins=200, ends=ENDS)
    assert "code of part" in statements(s, monkeypatch, lambda: s.facets("part"))
    assert "code of part" not in statements(s, monkeypatch, lambda: s.groups(["part", "path"]))


def test_bins_are_kept_of_numbers_in_memory_and_of_nothing_else(sample_catalog: Path) -> None:
    catalog = opens2v_data.open(sample_catalog)
    ends = {"aesthetic": (4.0, 6.0), "part": (0.0, 1.0), "quirks": (0.0, 1.0), "pair_similarity": (0.0, 1.0)}
    expected = told(catalog.all.hist("aesthetic", bins=5, lo=4, hi=6))
    catalog.query.keep_bins(ends, bins=5)  # cold: nothing
    catalog.warm()
    for _ in range(2):
        catalog.query.keep_bins(ends | {"video_size_bytes": (0.0, 1e9), "nothing": (0, 1)}, bins=5)
    assert catalog.query._in_memory is not None
    kept = [bins.column for bins in catalog.query._in_memory._bins]
    assert set(kept) - {"pair_similarity"} == {"aesthetic"}
    assert len(set(kept)) == len(kept)
    assert told(catalog.all.hist("aesthetic", bins=5, lo=4, hi=6)) == expected
    catalog.query.close()
    assert told(catalog.all.hist("aesthetic", bins=5, lo=4, hi=6)) == expected
    assert "of aesthetic" not in str(catalog.sql("SELECT * FROM clips LIMIT 1").schema)


def test_others_may_ask_while_bins_are_being_kept(sample_catalog: Path) -> None:
    catalog = opens2v_data.open(sample_catalog)
    s = catalog.where("aesthetic >= 4.5")
    expected = told(s.hist("aesthetic", bins=7, lo=4, hi=6)), s.facets("part").to_pylist()
    catalog.warm()
    wrong: list[Any] = []
    is_done = threading.Event()

    def ask() -> None:
        while not is_done.is_set():
            try:
                found = told(s.hist("aesthetic", bins=7, lo=4, hi=6)), s.facets("part").to_pylist()
            except Exception as error:  # noqa: BLE001 (told below)
                found = error
            if found != expected:
                wrong.append(found)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for bins in (7, *range(20, 35)):
        catalog.query.keep_bins({"aesthetic": (4.0, 6.0), "duration_seconds": (0.0, 3.0)}, bins=bins)
    is_done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
