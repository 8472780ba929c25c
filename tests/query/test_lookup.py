"""Clips by key, where some keys are of no clip."""

from __future__ import annotations

from pathlib import Path

import opens2v_data
from opens2v_data.query.lookup import known_clip_ids


def test_keys_of_no_clip_are_passed_over_and_those_without_a_part_name_all_that_have_them(sample_catalog: Path) -> None:
    catalog = opens2v_data.open(sample_catalog)
    rows = catalog.all.to_arrow(["clip_id", "part", "clip_key"]).to_pylist()
    first, last = rows[0], rows[-1]
    keys = [f"{last['part']}/{last['clip_key']}", "nobody", "total_part1/nobody", first["clip_key"], first["clip_key"]]
    expected = sorted({last["clip_id"], *(row["clip_id"] for row in rows if row["clip_key"] == first["clip_key"])})
    assert known_clip_ids(catalog.query, keys).tolist() == expected
    assert known_clip_ids(catalog.query, [f"another_part/{first['clip_key']}"]).tolist() == []
    assert known_clip_ids(catalog.query, []).tolist() == []
