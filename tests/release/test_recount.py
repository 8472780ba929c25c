"""The second count agrees with `json` on any text, wherever its chunks end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opens2v_data.errors import ReleaseError
from opens2v_data.release import recount
from opens2v_data.release.files import LocalFiles
from opens2v_data.release.recount import count_records
from release.memory import MemoryFiles

if TYPE_CHECKING:
    from opens2v_data.sample import SampleFacts

# What is syntax outside of strings, and what opens, closes or escapes inside them.
HOSTILE = st.text(st.sampled_from('{}[]:,"\\/ \n\tnéu\U0001f600\ud800\x00'), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | HOSTILE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3),
    max_leaves=8,
)


def object_text(members: list[tuple[str, Any]], *, indent: int | None, ascii_only: bool) -> bytes:
    """Return a JSON object, keys twice included, as `json` writes it."""
    texts = [
        f"{json.dumps(key, ensure_ascii=ascii_only)}: {json.dumps(value, ensure_ascii=ascii_only, indent=indent)}"
        for key, value in members
    ]
    return ("{" + ",\n".join(texts) + "}").encode("utf-8", "surrogatepass")


def count(data: bytes, chunk_bytes: int) -> int:
    """Count with chunks of that size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recount, "_CHUNK_BYTES", chunk_bytes)
        return count_records(MemoryFiles(file=data), "file")


@settings(deadline=None)
@given(
    members=st.lists(st.tuples(HOSTILE, VALUES), max_size=6),
    indent=st.sampled_from([None, 0, 4]),
    ascii_only=st.booleans(),
    chunk_bytes=st.integers(1, 40),
)
@example(members=[('a\\"', "\\")], indent=None, ascii_only=True, chunk_bytes=1)
@example(members=[("\\", '":{'), ("", {":": "\\\\"})], indent=None, ascii_only=False, chunk_bytes=2)
def test_it_counts_as_many_members_as_were_written(
    members: list[tuple[str, Any]], indent: int | None, ascii_only: bool, chunk_bytes: int
) -> None:
    data = object_text(members, indent=indent, ascii_only=ascii_only)
    assert len(json.loads(data.decode("utf-8", "surrogatepass"), object_pairs_hook=list)) == len(members)
    assert count(data, chunk_bytes) == len(members)


def test_chunks_may_end_anywhere_in_a_hostile_file() -> None:
    members = [('k"\\', {"a:b": ['{"x": 1}', "\\", '\\"', {"": ":"}]}), ("é\U0001f600", "[[["), ("", None)]
    data = object_text(members, indent=1, ascii_only=False)
    assert {count(data, chunk_bytes) for chunk_bytes in range(1, len(data) + 2)} == {len(members)}


@pytest.mark.parametrize("data", [b"", b"{}", b" { } \n", b"null", b"[]"])
def test_files_without_members_count_0(data: bytes) -> None:
    assert count(data, 2) == 0


def test_an_unclosed_string_at_the_end_does_not_hang() -> None:
    assert count(b'{"a": 1, "b": "never closed \\', 3) == 2


def test_it_counts_the_sample_as_it_was_written(sample_release: Path, sample_facts: SampleFacts) -> None:
    files = LocalFiles(sample_release)
    for part in sample_facts.parts:
        path = f"Jsons/mask_and_bbox_High-Quality/{part}.json"
        written = sum(clip.part == part for clip in sample_facts.clips)
        written += (part == sample_facts.unloadable_part) + (part == sample_facts.duplicate_part)
        assert count_records(files, path) == written


def test_it_counts_the_real_piece_as_json_does(real_release: Path) -> None:
    files = LocalFiles(real_release)
    paths = [entry.path for entry in files.walk("Jsons") if "cross_video_pairs" not in entry.path]
    assert paths
    for path in paths:
        tree = json.loads((real_release / path).read_bytes(), object_pairs_hook=list)
        assert count_records(files, path) == len(tree)


def test_progress_adds_up_to_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recount, "_CHUNK_BYTES", 7)
    data = object_text([("a", 1), ("b", [2])], indent=None, ascii_only=True)
    steps: list[int] = []
    count_records(MemoryFiles(file=data), "file", steps.append)
    assert sum(steps) == len(data) and max(steps) == 7


def test_a_file_that_is_not_there_raises(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"expected gone\.json in the release at"):
        count_records(LocalFiles(tmp_path), "gone.json")
