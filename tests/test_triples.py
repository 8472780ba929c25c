"""Values made of rows, and the addresses that name a clip's bytes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import opens2v_data
from catalog.releases import key_of, make, record, write_full, write_json
from opens2v_data.dataset import OpenS2V
from opens2v_data.triples import Clip, MaskRLE, Pair, Subject, Triple, VideoRef, View, clip_address

# -- addresses -------------------------------------------------------------------------------------------------------

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
sizes = st.integers(0, 2**50)


@given(root=names, part=names, member=names, offset=sizes, size_bytes=sizes)
@example(root="/a b/c#d?e%f", part="total part/1", member="x/y z#1?q=2%20&ü.mp4", offset=0, size_bytes=1)
@example(root="//", part="%2F", member="%/%%/../opens2v://", offset=10**13, size_bytes=0)
@example(root="C:\\data", part="\n", member="a//b/", offset=1, size_bytes=2)
def test_an_address_gives_back_what_it_was_made_of(
    root: str, part: str, member: str, offset: int, size_bytes: int
) -> None:
    address = clip_address(root, part, member, offset, size_bytes)
    reference = VideoRef.from_address(address)
    assert (reference.catalog_root, reference.part, reference.member) == (root, part, member)
    assert (reference.path, reference.offset, reference.size_bytes) == (address, offset, size_bytes)


@given(root=names, part=names, member=names)
def test_an_address_is_a_plain_url_without_query_and_fragment(root: str, part: str, member: str) -> None:
    from urllib.parse import urlsplit

    url = urlsplit(clip_address(root, part, member, 1, 2))
    assert (url.scheme, url.query, url.fragment) == ("opens2v", "", "")
    assert url.geturl().isascii() and url.geturl().isprintable() and " " not in url.geturl()


@pytest.mark.parametrize(
    "address",
    ["", "opens2v://", "opens2v://c/p/5/m", "opens2v://c/p/a-b/m", "opens2v://c/p/-5-3/m", "opens2v://c/p/1-2", "/a/b.mp4", "https://h/p/0-5/m"],
)  # fmt: skip
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(
        ValueError, match=r"expected opens2v://<catalog>/<part>/<offset>-<size>/<member>, found .*; take it from a row"
    ):
        VideoRef.from_address(address)


@pytest.mark.parametrize("address", ["c/p/0-5/m", "opens2v://c//0-5/m", "opens2v://c/p/0-5/"])
def test_an_address_without_scheme_part_or_member_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="expected opens2v://"):
        VideoRef.from_address(address)


# -- values ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("triples")
    write_full(folder / "release")
    make(folder / "release", folder / "catalog")
    return folder


@pytest.fixture(scope="module")
def catalog(root: Path) -> OpenS2V:
    return opens2v_data.open(root / "catalog")


def test_a_triple_is_its_row(catalog: OpenS2V) -> None:
    rows, triples = list(catalog.rows()), list(catalog.triples())
    assert len(rows) == len(triples)
    for row, triple in zip(rows, triples, strict=True):
        clip = triple.clip
        assert (clip.clip_id, clip.key, clip.part, clip.caption) == (
            row["clip_id"],
            row["clip_key"],
            row["part"],
            row["caption"],
        )
        assert triple.caption == row["caption"]
        assert (clip.cut, clip.face_cut) == ((0, row["cut_end"]), (row["face_cut_start"], row["face_cut_end"]))
        assert clip.crop_xyxy == tuple(row[f"crop_{side}"] for side in ("x0", "y0", "x1", "y1"))
        assert clip.tags == {
            kind: tuple(row[f"{kind}_tags"]) for kind in ("background", "subject", "object", "pre_define")
        }
        assert clip.video is not None and clip.video.path == row["video_path"]
        assert [subject.object_id for subject in triple.subjects] == [
            subject["object_id"] for subject in row["subjects"]
        ]
        for subject, element in zip(triple.subjects, row["subjects"], strict=True):
            assert (subject.class_name, subject.bbox_xyxy) == (element["class_name"], tuple(element["bbox"]))
            assert subject.mask is not None
            assert subject.mask.counts == element["mask"]["counts"].encode()
            assert triple.subject(subject.object_id) is subject
        assert triple.views == ()


def test_a_triple_with_views_has_them(catalog: OpenS2V) -> None:
    triples = list(catalog.triples(with_views=True))
    assert [triple.clip.key for triple in triples] == [key_of(n) for n in range(6)]
    for triple in triples:
        assert [(view.view_idx, view.class_name) for view in triple.views] == [(0, "woman"), (1, "blue top")]
        for view in triple.views:
            if view.object_id is not None:
                assert triple.subject(view.object_id).class_name == view.class_name


def test_a_pair_has_its_sides_the_right_way_round(catalog: OpenS2V) -> None:
    pairs = list(catalog.pairs())
    rows = list(catalog.rows(config="nexus-cross"))
    for row, pair in zip(rows, pairs, strict=True):
        assert pair == Pair.from_row(row)
        assert (pair.left, pair.right) == (Triple.from_row(row["clip"]), Triple.from_row(row["partner"]))
        assert (pair.left.clip.part, pair.right.clip.part) == ("total_part2", "total_part10")
        assert pair.right.clip.num_frames == (pair.left.clip.num_frames or 0) + 1
        assert (pair.left_object_id, pair.right_object_id, pair.image_similarity) == (1, 1, 0.875)


def test_an_unknown_subject_is_refused_with_those_there_are(catalog: OpenS2V) -> None:
    (triple,) = catalog.triples("clip_id = 3")
    with pytest.raises(KeyError, match=rf"clip {key_of(3)} has no subject 9; it has \[1, 2, 3\]"):
        triple.subject(9)


def test_a_row_that_lacks_a_column_is_refused_with_its_name(catalog: OpenS2V) -> None:
    (row,) = catalog.rows(limit=1)
    for name in ("caption", "subjects", "tech", "crop_x0", "face_cut_end", "video_path", "object_tags"):
        with pytest.raises(KeyError, match=name):
            Triple.from_row({column: value for column, value in row.items() if column != name})


def test_missing_values_are_none_and_a_missing_caption_is_empty(tmp_path: Path) -> None:
    partial: dict[str, Any] = {
        "metadata": {"crop": [1, 5, 2, 6], "face_cut": None},
        "annotation": record(2)["annotation"],
    }
    partial["annotation"]["mask_annotation"] = None
    write_json(tmp_path / "release", "p", {"bare": {"metadata": {}}, "partial": partial})
    make(tmp_path / "release", tmp_path / "catalog")
    bare, other = opens2v_data.open(tmp_path / "catalog").triples()
    clip = bare.clip
    assert (clip.caption, clip.cut, clip.face_cut, clip.crop_xyxy, clip.video, clip.tech) == (
        "",
        None,
        None,
        None,
        None,
        None,
    )
    assert bare.subjects == ()
    assert other.clip.crop_xyxy == (1, 2, 5, 6)
    assert [subject.mask for subject in other.subjects] == [None, None]


def test_values_cannot_be_changed_and_show_no_data(catalog: OpenS2V) -> None:
    (triple,) = catalog.triples("clip_id = 3")
    mask = triple.subjects[0].mask
    assert mask is not None and str(mask.counts) not in repr(triple)
    for value in (triple, triple.clip, triple.subjects[0], mask):
        with pytest.raises(FrozenInstanceError, match="cannot assign to field"):
            value.frame_idx = 0  # type: ignore[attr-defined,misc]
    assert replace(triple, subjects=()).clip == triple.clip


def test_the_kinds_of_values_are_what_the_package_gives() -> None:
    for kind in (Clip, MaskRLE, Pair, Subject, Triple, VideoRef, View):
        assert getattr(opens2v_data, kind.__name__) is kind
