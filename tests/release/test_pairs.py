"""Cross-video pairs in both forms, as one object of clusters or as a list per cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest

from opens2v_data.release import hugejson
from opens2v_data.release.hugejson import BadRegion
from opens2v_data.release.pairs import PairRecord, read_pairs
from release.memory import MemoryFiles

PAIR = {
    "cur_id": "total_part1/a_part2_step1",
    "aft_id": "total_part3/a_part7_step1",
    "cur_class_id": "2",
    "aft_class_id": "11",
    "cur_class_name": "woman",
    "aft_class_name": "a woman",
    "text_similarity": 0.75,
    "image_similarity": 0.875,
    "cur_frame_idx": 4,
    "aft_frame_idx": 0,
}
OLDER = {"cur_id": "a_part2", "aft_id": "a_part7", "cur_class_name": "woman", "aft_class_name": "woman"}


def read(data: bytes) -> tuple[list[PairRecord], list[BadRegion]]:
    batches = list(read_pairs(MemoryFiles(f=data), "f"))
    if not any(batch.bad for batch in batches):
        assert [batch.end for batch in batches][-1:] == [len(data)]
    return [pair for batch in batches for pair in batch.pairs], [bad for batch in batches for bad in batch.bad]


def good(tree: Any, **options: Any) -> list[PairRecord]:
    pairs, bad = read(json.dumps(tree, **options).encode())
    assert bad == []
    return pairs


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("tree", [[PAIR], {"a": [PAIR]}])
def test_the_current_form_names_parts_clips_and_objects(tree: Any, indent: int | None) -> None:
    (pair,) = good(tree, indent=indent)
    assert (pair.ref, pair.part, pair.key, pair.object_id) == (PAIR["cur_id"], "total_part1", "a_part2_step1", 2)
    assert (pair.partner_ref, pair.partner_part) == (PAIR["aft_id"], "total_part3")
    assert (pair.partner_key, pair.partner_object_id) == ("a_part7_step1", 11)
    assert (pair.class_name, pair.partner_class_name) == ("woman", "a woman")
    assert (pair.text_similarity, pair.image_similarity) == (0.75, 0.875)
    assert (pair.frame_idx, pair.partner_frame_idx) == (4, 0)


@pytest.mark.parametrize("tree", [[OLDER], {"a": [OLDER]}])
def test_the_older_form_has_neither_parts_nor_objects(tree: Any) -> None:
    (pair,) = good(tree)
    assert (pair.part, pair.key, pair.partner_part, pair.partner_key) == (None, "a_part2", None, "a_part7")
    assert (pair.object_id, pair.partner_object_id, pair.frame_idx, pair.image_similarity) == (None, None, None, None)


def test_a_class_id_comes_as_a_string_or_a_number_or_is_empty() -> None:
    pairs = good([PAIR | {"cur_class_id": value} for value in ("7", 7, "", None)])
    assert [pair.object_id for pair in pairs] == [7, 7, None, None]


def test_the_key_is_what_stands_behind_the_last_slash() -> None:
    (pair,) = good([PAIR | {"cur_id": "set/total_part1/key"}])
    assert (pair.part, pair.key) == ("set/total_part1", "key")


def test_pairs_come_cluster_by_cluster_in_the_files_order() -> None:
    tree = {f"c{n}": [PAIR | {"cur_frame_idx": 100 * n + i} for i in range(n % 4)] for n in range(30)}
    expected = [100 * n + i for n in range(30) for i in range(n % 4)]
    for indent in (None, 4):
        assert [pair.frame_idx for pair in good(tree, indent=indent)] == expected


@pytest.mark.parametrize("tree", [[], {}, {"a": []}, {"a": [], "b": []}])
def test_no_pairs_are_no_fault(tree: Any) -> None:
    assert good(tree) == []


def test_numbers_as_strings_and_text_with_lone_surrogates_are_read() -> None:
    text = json.dumps({"a": [PAIR | {"cur_frame_idx": "12", "text_similarity": "0.5"}]}).replace("woman", "\\ud83d")
    (pair,), bad = read(text.encode())
    assert (pair.frame_idx, pair.text_similarity, pair.class_name, bad) == (12, 0.5, "\ufffd", [])


@pytest.mark.parametrize("bare", ["NaN", "Infinity", '"NaN"', "1e39", "-1e300"])
@pytest.mark.parametrize("form", ["[%s]", '{"a": [%s]}'])
def test_a_similarity_that_is_no_number_becomes_null(form: str, bare: str) -> None:
    text = form % json.dumps(PAIR).replace("0.875", bare)
    (pair,), bad = read(text.encode())
    assert (pair.image_similarity, pair.text_similarity, bad) == (None, 0.75, [])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cur_class_id": "abc"}, "invalid literal"),
        ({"aft_class_id": -1}, "expected a class id from 0 to 32767, found -1"),
        ({"aft_class_id": "99999"}, "expected a class id from 0 to 32767, found '99999'"),
        ({"cur_frame_idx": 2**40}, "expected a frame index of 0 or more, found 1099511627776"),
        ({"aft_frame_idx": -7}, "expected a frame index of 0 or more, found -7"),
    ],
)
def test_a_pair_that_cannot_be_used_is_reported_and_its_neighbours_stay(changes: dict[str, Any], reason: str) -> None:
    for tree, key in (([PAIR, PAIR | changes, PAIR], None), ({"z": [], "a": [PAIR, PAIR | changes, PAIR]}, "a")):
        pairs, bad = read(json.dumps(tree).encode())
        assert len(pairs) == 2
        (region,) = bad
        assert region.key == key
        assert "pair 1 of its list" in region.reason and reason in region.reason


def test_a_cluster_of_another_shape_is_reported_and_the_others_stay() -> None:
    text = json.dumps({"a": [PAIR], "b": [{"aft_id": "x"}], "c": {"cur_id": "x"}, "d": [PAIR]}).encode()
    pairs, bad = read(text)
    assert len(pairs) == 2
    assert [(region.key, region.offset) for region in bad] == [("b", text.index(b'"b"')), ("c", text.index(b'"c"'))]
    assert all("unexpected shape" in region.reason for region in bad)


def test_an_odd_pair_costs_itself_only() -> None:
    odd = PAIR | {"cur_class_name": None, "cur_id": 5}
    for text in (json.dumps({"a": [PAIR, odd, PAIR]}), json.dumps([PAIR, odd, PAIR])):
        pairs, bad = read(text.encode())
        assert len(pairs) == 2
        assert ["(pair 1 of its list)" in region.reason for region in bad] == [True]


@pytest.mark.parametrize("text", [b"", b"null", b"\x1f\x8b\x08", b"[", b"[{]", b"[" * 100_000])
def test_a_file_that_holds_no_pairs_is_reported_whole(text: bytes) -> None:
    pairs, bad = read(text)
    assert pairs == []
    (region,) = bad
    assert (region.offset, region.length) == (0, len(text))
    assert "pairs" in region.reason


def test_a_file_cut_short_keeps_its_whole_clusters() -> None:
    text = json.dumps({"a": [PAIR], "b": [PAIR, PAIR]}, indent=4).encode()
    pairs, bad = read(text[:-60])
    assert len(pairs) == 1
    assert [(region.key, region.is_truncated) for region in bad] == [("b", True)]


def test_a_first_cluster_without_pairs_does_not_keep_a_long_file_from_being_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hugejson, "MAX_RECORD_BYTES", 1 << 20)
    tree = {"empty": [], "null": [], **{f"c{n}": [PAIR | {"cur_class_name": "x" * 1000}] * 10 for n in range(300)}}
    assert len(good(tree)) == 3000


def test_a_list_too_long_to_be_one_clusters_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opens2v_data.release.pairs.SMALL_FILE_BYTES", 1000)
    pairs, bad = read(json.dumps([PAIR] * 10).encode())
    assert pairs == []
    assert "only the object form" in bad[0].reason
