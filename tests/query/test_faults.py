"""Slices by what is wrong with clips: the quality views as steps."""

from __future__ import annotations

from pathlib import Path

import pytest

import opens2v_data
from opens2v_data.errors import QueryError
from opens2v_data.sqlfiles import sql_names

FAULTS = [name.removeprefix("quality/") for name in sql_names("quality")]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_parts_the_clips_in_two(sample_catalog: Path, fault: str) -> None:
    catalog = opens2v_data.open(sample_catalog)
    named = (
        catalog.sql(f"SELECT DISTINCT clip_id FROM {fault} WHERE clip_id IS NOT NULL ORDER BY 1").column(0).to_pylist()
    )
    assert catalog.all.faults(fault, "only").ids().tolist() == named
    assert catalog.all.faults(fault).ids().tolist() == sorted(set(range(len(catalog))) - set(named))


def test_an_unknown_fault_or_mode_is_refused(sample_catalog: Path) -> None:
    catalog = opens2v_data.open(sample_catalog)
    with pytest.raises(QueryError, match="no quality view is called 'clips'; there are alike_pairs"):
        catalog.all.faults("clips")
    with pytest.raises(ValueError, match="mode must be one of drop, only, got 'keep'"):
        catalog.all.faults("near_copies", "keep")  # pyright: ignore[reportArgumentType]
