"""Ranges of a catalog's files: merged, kept, and the bytes of the file however they are come by."""

from __future__ import annotations

import random
import threading
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.archive.stores import MemoryStore
from opens2v_data.catalog import ranges
from opens2v_data.catalog.manifest import CatalogFile
from opens2v_data.catalog.ranges import RangeReader, Span, TableFileSystem, merge_spans
from opens2v_data.errors import CatalogDamagedError


def parquet_bytes(num_rows: int) -> bytes:
    """Return a parquet file whose row groups have some bytes."""
    sink = pa.BufferOutputStream()
    numbers = list(range(num_rows))
    pq.write_table(pa.table({"number": numbers, "text": [f"{n * 7919}" for n in numbers]}), sink, row_group_size=50)
    return sink.getvalue().to_pybytes()


DATA = parquet_bytes(1000)
spans = st.tuples(st.integers(0, len(DATA) + 50), st.integers(0, 3000))


def reader(data: bytes = DATA, *, keep_bytes: int = 4000) -> RangeReader:
    file = CatalogFile(path="t.parquet", size_bytes=len(data), sha256="", rows=1, row_groups=())
    return RangeReader(MemoryStore({"t.parquet": data}), {"t.parquet": file}, keep_bytes=keep_bytes)


@settings(deadline=None)
@given(asked=st.lists(spans, max_size=20), whole_bytes=st.sampled_from([0, 1 << 20]))
def test_a_range_holds_the_bytes_of_the_file_however_it_was_come_by(
    asked: list[tuple[int, int]], whole_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "WHOLE_BYTES", whole_bytes)
        patch.setattr(ranges, "KEEP_RANGES", 3)
        some = reader()
        for start, length in asked:
            assert some.read("t.parquet", start, length) == DATA[start : start + length]
            assert sum(map(len, some._kept.values())) <= 4000
            assert len(some._kept) <= 3


@pytest.mark.parametrize("guess", [8, 100, 10**6])
def test_a_footer_is_read_once_however_long_it_is(guess: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "WHOLE_BYTES", 0)
    monkeypatch.setattr(ranges, "_footer_guess", lambda file: guess)
    some = reader()
    store: Any = some.store
    for _ in range(3):
        at, tail = some.footer("t.parquet")
        assert DATA[at:] == tail
        assert pq.read_metadata(pa.BufferReader(tail)).num_rows == 1000
    assert store.num_requests == (1 if guess == 10**6 else 2)


def test_a_file_that_is_no_parquet_is_refused() -> None:
    with pytest.raises(
        CatalogDamagedError, match=r"expected a parquet file at t.parquet, found b'page' at its end; copy"
    ):
        reader(b"an error page").footer("t.parquet")


@given(
    st.lists(
        st.builds(Span, st.sampled_from(["a", "b"]), st.integers(0, 900), st.integers(1, 100)), min_size=1, max_size=30
    ),
    st.integers(0, 50),
    st.integers(1, 400),
)
def test_merged_ranges_hold_all_and_little_more(wanted: list[Span], gap: int, limit: int) -> None:
    files = {name: random.Random(name).randbytes(1000) for name in ("a", "b")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "MERGE_GAP_BYTES", gap)
        patch.setattr(ranges, "MERGED_BYTES", limit)
        merged = merge_spans(wanted)
        some = RangeReader(MemoryStore(files), {})
        assert some.read_spans(wanted) == [files[span.path][span.start : span.end] for span in wanted]
    assert len(merged) <= len(set(wanted))
    covered = {(span.path, at) for span in wanted for at in range(span.start, span.end)}
    for span in merged:
        unwanted = [at for at in range(span.start, span.end) if (span.path, at) not in covered]
        runs = sum(1 for at in unwanted if at - 1 not in unwanted)
        assert len(unwanted) <= gap * runs
        assert span.length <= max(limit, 100)


def test_threads_read_one_opened_file_each_from_its_own_place() -> None:
    file = TableFileSystem(reader()).open("catalog://tables/t.parquet")
    wrong: list[int] = []

    def use(number: int) -> None:
        random_ = random.Random(number)
        for _ in range(200):
            start, length = random_.randrange(len(DATA)), random_.randrange(500)
            file.seek(start)
            if file.read(length) != DATA[start : start + length] or file.tell() != min(start + length, len(DATA)):
                wrong.append(start)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
