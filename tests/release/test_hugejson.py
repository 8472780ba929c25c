"""The huge-JSON reader against `json`, on hostile text, damage and every partition."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.errors import ReleaseError
from opens2v_data.release.hugejson import BadRegion, HugeObject
from release.memory import MemoryFiles


def decode_any(value: bytes) -> tuple[Any, list[str]]:
    return json.loads(value.decode("utf-8", "replace"), strict=False), []


def open_object(data: bytes, *, chunk_bytes: int = 256) -> HugeObject[Any]:
    return HugeObject(MemoryFiles(f=data), "f", record_type=object, decode_one=decode_any, chunk_bytes=chunk_bytes)


def read(
    data: bytes, *, edges: list[int] | None = None, chunk_bytes: int = 256
) -> tuple[list[tuple[str, int, Any]], list[BadRegion]]:
    """Read all records, unit by unit."""
    huge = open_object(data, chunk_bytes=chunk_bytes)
    points = [0, *sorted(edges or []), len(data)]
    rows: list[tuple[str, int, Any]] = []
    bad: list[BadRegion] = []
    for lo, hi in pairwise(points):
        for batch in huge.read(lo, hi):
            rows += zip(batch.keys, batch.offsets, batch.records, strict=True)
            bad += batch.bad
    return rows, bad


HOSTILE = [
    '}, "k": {"metadata": {', "\\", '"', '\\"', "}},", '{"metadata"', "\0", "\u2028", "{", "}", "[", "]", ":", ",",
    '"metadata": {', "\\\\", '\\\\"', "\n", "é", "\U0001f600", "metadata", '}}}, "x": [{"metadata":',
]  # fmt: skip
texts = st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=4)), max_size=5).map("".join)
values = st.recursive(
    st.one_of(texts, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
records = st.fixed_dictionaries(
    {"metadata": st.dictionaries(texts, values, max_size=3)},
    optional={
        "word_tags": values,
        "annotation": st.one_of(
            values, st.fixed_dictionaries({"a": st.just({"x": 1}), "b": st.just({"metadata": {"deep": 1}})})
        ),
    },
)
objects = st.dictionaries(texts, records, min_size=1, max_size=12)
layouts = st.sampled_from([None, 4, 1])


def encode(tree: Any, indent: int | None, *, ascii_only: bool = True) -> bytes:
    separators = (",", ":") if indent is None and ascii_only else None
    return json.dumps(tree, indent=indent, separators=separators, ensure_ascii=ascii_only).encode(
        "utf-8", "surrogatepass"
    )


@settings(max_examples=200, deadline=None)
@given(tree=objects, indent=layouts, ascii_only=st.booleans(), data=st.data())
def test_any_cut_gives_what_json_gives(
    tree: dict[str, Any], indent: int | None, ascii_only: bool, data: st.DataObject
) -> None:
    text = encode(tree, indent, ascii_only=ascii_only)
    edges = data.draw(st.lists(st.integers(0, len(text)), max_size=6))
    chunk_bytes = data.draw(st.sampled_from([8, 40, 256, 1 << 20]))
    rows, bad = read(text, edges=edges, chunk_bytes=chunk_bytes)
    assert [(key, value) for key, _, value in rows] == list(tree.items())
    assert bad == []
    for key, offset, _ in rows:
        assert json.JSONDecoder().raw_decode(text[offset:].decode())[0] == key


@settings(max_examples=60, deadline=None)
@given(tree=objects, indent=layouts)
def test_all_partitions_from_one_to_sixteen_units_are_equal(tree: dict[str, Any], indent: int | None) -> None:
    text = encode(tree, indent)
    whole = read(text)
    for count in range(2, 17):
        assert read(text, edges=[len(text) * part // count for part in range(1, count)], chunk_bytes=64) == whole


@settings(max_examples=200, deadline=None)
@given(tree=objects, indent=layouts, data=st.data())
def test_damage_costs_no_other_record_and_is_the_same_in_every_partition(
    tree: dict[str, Any], indent: int | None, data: st.DataObject
) -> None:
    text = bytearray(encode(tree, indent))
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(text) - 1))
        if data.draw(st.booleans()):
            text[at : at + data.draw(st.integers(1, 3))] = b""
        else:
            text[at:at] = data.draw(st.sampled_from([b'"', b"}", b"{", b"]", b"[", b",", b"\\", b"x"]))
    blob = bytes(text)
    try:
        whole = read(blob, chunk_bytes=1 << 20)
    except ReleaseError:
        return
    edges = data.draw(st.lists(st.integers(0, len(blob)), max_size=4))
    assert read(blob, edges=edges, chunk_bytes=data.draw(st.sampled_from([16, 256]))) == whole


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("damage", [b'"', b"}", b"{", b"]", b"[", b",,", b"\x00"])
def test_one_damaged_record_loses_itself_only(indent: int | None, damage: bytes) -> None:
    tree = {f"clip{n}": {"metadata": {"cap": f"text {n}", "cut": [0, n]}, "annotation": {"a": [n]}} for n in range(30)}
    text = encode(tree, indent)
    at = text.index(b'"text 12"') - 1
    text = text[:at] + damage + text[at:]
    for chunk_bytes in (64, 1 << 20):
        rows, bad = read(text, chunk_bytes=chunk_bytes)
        kept = [key for key, _, _ in rows]
        assert [key for key in tree if key not in kept] in ([], ["clip12"])
        assert all(value == tree[key] for key, _, value in rows if key != "clip12")
        assert [region.key for region in bad] in ([], ["clip12"])
        assert len(rows) + len(bad) == 30


@pytest.mark.parametrize("indent", [None, 4])
def test_a_file_cut_anywhere_keeps_all_whole_records_and_says_where_it_ends(indent: int | None) -> None:
    tree = {f"clip{n}": {"metadata": {"cut": [0, n]}, "annotation": {"a": {"b": [n]}}} for n in range(5)}
    text = encode(tree, indent)
    starts = [text.index(b'"clip%d"' % n) for n in range(5)]
    for end in range(starts[0], len(text)):
        cut = text[:end]
        rows, bad = read(cut)
        assert [row[2] for row in rows] == list(tree.values())[: len(rows)]
        assert len(bad) == 1
        assert bad[0].is_truncated
        torn = sum(1 for start in starts[len(rows) :] if start < end)
        assert torn == bad[0].num_records <= 1
        assert bad[0].offset == (starts[len(rows)] if torn else end)


def test_a_duplicate_key_gives_both_records_with_their_offsets() -> None:
    text = b'{"a": {"metadata": {"n": 1}}, "b": {"metadata": {}}, "a": {"metadata": {"n": 2}}}'
    rows, bad = read(text, chunk_bytes=1 << 20)
    assert [(key, value["metadata"].get("n")) for key, _, value in rows] == [("a", 1), ("b", None), ("a", 2)]
    assert bad == []


def test_records_that_open_otherwise_are_read_too() -> None:
    text = (
        b'{"a": {"metadata": {}}, "n": null, "w": {"word_tags": {}, "metadata": {}}, "l": [1], "z": {"metadata": {}}}'
    )
    for chunk_bytes in (8, 1 << 20):
        rows, bad = read(text, chunk_bytes=chunk_bytes)
        assert [key for key, _, _ in rows] == ["a", "n", "w", "l", "z"]
        assert bad == []


def test_an_empty_object_has_no_records() -> None:
    assert read(b"{}") == ([], [])
    assert read(b"\xef\xbb\xbf { \n } \n") == ([], [])


def test_a_byte_order_mark_is_passed_over() -> None:
    rows, _ = read(b'\xef\xbb\xbf{"a": {"metadata": {}}}\n')
    assert [key for key, _, _ in rows] == ["a"]


def test_lists_of_objects_are_records_too() -> None:
    tree = {f"cluster{n}": [{"cur_id": f"a{n}", "x": {"y": 1}}] * (n % 3 + (n == 0)) for n in range(20)}
    for indent in (None, 4):
        text = encode(tree, indent)
        rows, bad = read(text, chunk_bytes=64, edges=[100, 333, 700])
        assert {key: value for key, _, value in rows} == tree
        assert bad == []


def test_bytes_after_the_last_brace_are_reported() -> None:
    rows, bad = read(b'{"a": {"metadata": {}}} trailing')
    assert [key for key, _, _ in rows] == ["a"]
    assert bad[0].offset == 24
    assert "after the closing brace" in bad[0].reason


@pytest.mark.parametrize("data", [b"", b"   ", b"[1, 2]", b"\x1f\x8b\x08gzip", b'"text"'])
def test_a_file_that_is_no_object_is_refused_with_what_was_found(data: bytes) -> None:
    with pytest.raises(ReleaseError, match="expected one JSON object"):
        open_object(data)


def test_memory_is_bounded_by_the_chunk_not_the_file() -> None:
    tree = {f"clip{n}": {"metadata": {"cap": "x" * 200}} for n in range(5000)}
    text = encode(tree, 4)
    files = MemoryFiles(f=text)
    huge = HugeObject(files, "f", record_type=object, decode_one=decode_any, chunk_bytes=4096)
    count = sum(len(batch.keys) for batch in huge.read())
    assert count == 5000
    assert files.max_read_bytes <= 64 << 10


def test_a_record_longer_than_the_chunk_is_read_whole() -> None:
    tree = {"small": {"metadata": {}}, "large": {"metadata": {"cap": "y" * 100_000}}, "last": {"metadata": {}}}
    rows, bad = read(encode(tree, None), chunk_bytes=64)
    assert {key: value for key, _, value in rows} == tree
    assert bad == []


def test_a_typed_decoder_falls_back_record_by_record() -> None:
    class Record(msgspec.Struct):
        metadata: dict[str, int]

    def lenient(value: bytes) -> tuple[Record, list[str]]:
        tree = json.loads(value)
        try:
            return msgspec.convert(tree, Record, strict=False), ["lenient"]
        except msgspec.ValidationError as error:
            raise ValueError(f"unexpected shape: {error}") from error

    text = b'{"a": {"metadata": {"x": 1}}, "b": {"metadata": {"x": "2"}}, "c": {"metadata": "oops"}, "d": {"metadata": {}}}'
    huge = HugeObject(MemoryFiles(f=text), "f", record_type=Record, decode_one=lenient)
    (batch,) = huge.read()
    assert [record.metadata for record in batch.records] == [{"x": 1}, {"x": 2}, {}]
    (region,) = batch.bad
    assert (region.key, region.offset) == ("c", text.index(b'"c"'))
    assert "unexpected shape" in region.reason
