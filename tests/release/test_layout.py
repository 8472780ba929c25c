"""What lies where in a release, told from file names alone."""

from __future__ import annotations

import gc
import pickle
from pathlib import Path

import pytest

from opens2v_data.errors import ReleaseError
from opens2v_data.release.files import LocalFiles, checked_path
from opens2v_data.release.layout import Release, VideoPart, natural_key


def release_of(root: Path, *paths: str) -> Release:
    """Make a release of files that hold their own path, and open it."""
    (root / "Jsons").mkdir(parents=True, exist_ok=True)
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    return Release.open(str(root))


def paths_of(part: VideoPart) -> list[str]:
    return [file.path for file in part.files]


# -- the folder ------------------------------------------------------------------------------------------------------


def test_a_folder_with_jsons_or_videos_is_a_release(tmp_path: Path) -> None:
    for name in ("Jsons", "Videos"):
        (tmp_path / name / name).mkdir(parents=True)
        release = Release.open(str(tmp_path / name))
        assert release.revision is None
        assert release.video_parts() == ()


def test_a_folder_without_either_is_refused_with_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(ReleaseError, match=r"expected Jsons/ and Videos/ in the release folder .*found \['photos'\]"):
        Release.open(str(tmp_path))
    with pytest.raises(ReleaseError, match="found an empty folder; give the folder that holds them"):
        Release.open(str(tmp_path / "photos"))


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_no_folder_and_a_file_are_refused_without_noise(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"expected the folder of a release, found nothing at .*demo-release"):
        Release.open(str(tmp_path / "absent"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(ReleaseError, match="expected the folder of a release, found a file at"):
        Release.open(str(tmp_path / "file"))
    gc.collect()


# -- annotation sets -------------------------------------------------------------------------------------------------


def test_the_only_set_is_the_default_in_natural_order(tmp_path: Path) -> None:
    names = ["total_part10", "total_part2", "total_part1", "total_part02b"]
    release = release_of(tmp_path, *(f"Jsons/captions/{name}.json" for name in names), "Jsons/captions/readme.txt")
    found = [Path(entry.path).stem for entry in release.json_files()]
    assert found == ["total_part1", "total_part2", "total_part02b", "total_part10"]


def test_of_several_sets_the_high_quality_one_is_the_default(tmp_path: Path) -> None:
    release = release_of(tmp_path, "Jsons/a/p.json", "Jsons/mask_and_bbox_High-Quality/p.json", "Jsons/z/p.json")
    assert [entry.path for entry in release.json_files()] == ["Jsons/mask_and_bbox_High-Quality/p.json"]


def test_several_sets_and_none_of_high_quality_are_refused_with_their_names(tmp_path: Path) -> None:
    release = release_of(tmp_path, "Jsons/a/p.json", "Jsons/b/p.json")
    with pytest.raises(
        ReleaseError, match=r"expected one annotation set .*found \['Jsons/a', 'Jsons/b'\]; .*--json-glob 'Jsons/a/\*"
    ):
        release.json_files()


def test_two_sets_of_high_quality_are_refused(tmp_path: Path) -> None:
    release = release_of(tmp_path, "Jsons/High-Quality1/p.json", "Jsons/High-Quality2/p.json", "Jsons/a/p.json")
    with pytest.raises(ReleaseError, match=r"found .*High-Quality1.*High-Quality2"):
        release.json_files()


def test_a_glob_chooses_the_set_and_the_parts(tmp_path: Path) -> None:
    release = release_of(tmp_path, "Jsons/a/p1.json", "Jsons/b/p1.json", "Jsons/b/p2.json", "Jsons/b/p3.json")
    assert [entry.path for entry in release.json_files("Jsons/b/p[12].json")] == ["Jsons/b/p1.json", "Jsons/b/p2.json"]


def test_a_glob_that_nothing_matches_is_refused_with_the_sets_there_are(tmp_path: Path) -> None:
    release = release_of(tmp_path, "Jsons/a/p.json", "Jsons/b/p.json")
    with pytest.raises(ReleaseError, match=r"match 'Jsons/c/\*' .*found none; there are \['Jsons/a', 'Jsons/b'\]"):
        release.json_files("Jsons/c/*")


def test_a_glob_over_two_files_of_one_part_is_refused_with_both(tmp_path: Path) -> None:
    release = release_of(tmp_path, "Jsons/a/p.json", "Jsons/b/p.json")
    with pytest.raises(ReleaseError, match=r"two for p: Jsons/a/p.json and Jsons/b/p.json; choose one set"):
        release.json_files("Jsons/*.json")


def test_pairs_are_no_annotation_set(tmp_path: Path) -> None:
    release = release_of(tmp_path, "Jsons/cross_video_pairs/cross_frames_pairs.json")
    with pytest.raises(
        ReleaseError, match=r"expected annotation files like Jsons/<set>/<part>.json below .*found none"
    ):
        release.json_files()


@pytest.mark.parametrize(
    ("lower", "higher"), [("p2", "p10"), ("p02", "p2a"), ("1p", "a"), ("a1b2", "a1b10"), ("1", "1²")]
)
def test_names_sort_by_their_numbers(lower: str, higher: str) -> None:
    assert natural_key(lower) < natural_key(higher)


# -- videos ----------------------------------------------------------------------------------------------------------


def test_pieces_of_a_tar_are_joined_by_number_not_by_name(tmp_path: Path) -> None:
    pieces = [f"Videos/p1/p1.tar.split.{number:03d}" for number in range(1002)]
    release = release_of(tmp_path, *reversed(pieces), "Videos/p1/checksums.txt", "Videos/loose.mp4")
    (part,) = release.video_parts()
    assert (part.name, part.layout, paths_of(part)) == ("p1", "split-tar", pieces)


def test_parts_come_in_natural_order_whatever_their_layout(tmp_path: Path) -> None:
    release = release_of(
        tmp_path, "Videos/part10/part10.tar", "Videos/part9/a/b.mp4", "Videos/part9/c.MKV", "Videos/part9/notes.txt",
        "Videos/part11/part11.tar.split.0", "Videos/part12/notes.txt",
    )  # fmt: skip
    found = [(part.name, part.layout, paths_of(part)) for part in release.video_parts()]
    assert found == [
        ("part9", "files", ["Videos/part9/c.MKV", "Videos/part9/a/b.mp4"]),
        ("part10", "tar", ["Videos/part10/part10.tar"]),
        ("part11", "split-tar", ["Videos/part11/part11.tar.split.0"]),
    ]


@pytest.mark.parametrize(("numbers", "missing"), [((0, 1, 3, 4), 2), ((1, 2), 0), ((0, 2, 4), 1)])
def test_a_piece_missing_in_the_middle_is_refused_with_its_number(
    tmp_path: Path, numbers: tuple[int, ...], missing: int
) -> None:
    release = release_of(tmp_path, *(f"Videos/p1/p1.tar.split.{number:03d}" for number in numbers))
    with pytest.raises(ReleaseError, match=f"pieces 000 to {numbers[-1]:03d} of part p1, found no piece {missing:03d}"):
        release.video_parts()


def test_pieces_of_two_tars_in_one_part_are_refused(tmp_path: Path) -> None:
    release = release_of(tmp_path, "Videos/p1/a.tar.split.000", "Videos/p1/b.tar.split.000")
    with pytest.raises(
        ReleaseError, match=r"pieces of one tar in Videos/p1, found pieces of \['Videos/p1/a.tar', 'Videos"
    ):
        release.video_parts()


def test_two_whole_tars_in_one_part_are_refused(tmp_path: Path) -> None:
    release = release_of(tmp_path, "Videos/p1/a.tar", "Videos/p1/b.tar")
    with pytest.raises(
        ReleaseError, match=r"expected one tar in Videos/p1, found \['Videos/p1/a.tar', 'Videos/p1/b.tar'\]"
    ):
        release.video_parts()


def test_pieces_are_preferred_to_a_tar_they_were_joined_to(tmp_path: Path) -> None:
    release = release_of(tmp_path, "Videos/p1/p1.tar", "Videos/p1/p1.tar.split.000", "Videos/p1/p1.tar.split.001")
    (part,) = release.video_parts()
    assert (part.layout, len(part.files)) == ("split-tar", 2)


def test_a_link_to_nothing_is_a_missing_piece(tmp_path: Path) -> None:
    release = release_of(tmp_path, "Videos/p1/p1.tar.split.000", "Videos/p1/p1.tar.split.002")
    (tmp_path / "Videos/p1/p1.tar.split.001").symlink_to(tmp_path / "blob")
    with pytest.raises(ReleaseError, match="found no piece 001; download it"):
        release.video_parts()
    (tmp_path / "blob").write_text("here now")
    assert [file.size_bytes for file in release.video_parts()[0].files][1] == len("here now")


# -- pairs, views, plates --------------------------------------------------------------------------------------------


def test_the_file_of_all_pairs_comes_before_the_clusters(tmp_path: Path) -> None:
    folder = "Jsons/cross_video_pairs"
    release = release_of(
        tmp_path, f"{folder}/final_output/c10.json", f"{folder}/final_output/c2.json", f"{folder}/cluster_videos.json",
        f"{folder}/cross_frames_pairs.json", f"{folder}/notes.md",
    )  # fmt: skip
    assert [Path(entry.path).name for entry in release.pair_files()] == [
        "cross_frames_pairs.json",
        "c2.json",
        "c10.json",
    ]
    cluster = release.cluster_file()
    assert cluster is not None and cluster.path == f"{folder}/cluster_videos.json"


def test_a_release_without_pairs_views_and_plates_has_none(tmp_path: Path) -> None:
    release = release_of(tmp_path)
    assert (release.pair_files(), release.cluster_file(), [*release.views()], [*release.plates()]) == ((), None, [], [])


def test_view_names_tell_number_and_class(tmp_path: Path) -> None:
    release = release_of(
        tmp_path, "GPT-Frames/k1/main_image.png", "GPT-Frames/k1/0_woman.png", "GPT-Frames/k1/12_blue_top.png",
        "GPT-Frames/k2/007_a_b_c.PNG", "GPT-Frames/k2/notes.txt", "GPT-Frames/k2/x_woman.png", "GPT-Frames/k2/3_.png",
        "GPT-Frames/k2/4.png", "GPT-Frames/k2/²_woman.png", "GPT-Frames/k2/20250101123456_woman.png",
    )  # fmt: skip
    found = [(view.clip_key, view.view_idx, view.class_name, view.path) for view in release.views()]
    assert found == [
        ("k1", 0, "woman", "GPT-Frames/k1/0_woman.png"),
        ("k1", 12, "blue top", "GPT-Frames/k1/12_blue_top.png"),
        ("k1", None, None, "GPT-Frames/k1/main_image.png"),
        ("k2", 7, "a b c", "GPT-Frames/k2/007_a_b_c.PNG"),
    ]


def test_plates_have_a_part_where_the_release_sorts_them_by_part(tmp_path: Path) -> None:
    release = release_of(
        tmp_path, "Background/total_part1/key.one.png", "Background/key2.png", "Background/p2/deep/key3.PNG", "Background/a.txt"
    )  # fmt: skip
    found = {(plate.part, plate.clip_key, plate.size_bytes) for plate in release.plates()}
    expected = {("total_part1", "key.one", "Background/total_part1/key.one.png"), (None, "key2", "Background/key2.png")}
    assert found == {(p, k, len(path)) for p, k, path in expected | {("p2", "key3", "Background/p2/deep/key3.PNG")}}


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a\0b"])
def test_a_path_that_leaves_the_release_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ReleaseError, match="expected a path below the release, found"):
        checked_path(path)
    with pytest.raises(ReleaseError, match="expected a path below the release, found"):
        LocalFiles(tmp_path).size(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"expected Jsons/p.json in the release at .*found nothing"):
        LocalFiles(tmp_path).size("Jsons/p.json")


def test_bytes_are_read_from_anywhere_and_end_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(range(100)))
    files = LocalFiles(tmp_path)
    buffer = bytearray(10)
    assert files.readinto("f", 95, memoryview(buffer)) == 5
    assert buffer[:5] == bytes(range(95, 100))
    assert files.readinto("f", 200, memoryview(buffer)) == 0
    files.close()
    assert files.read("f") == bytes(range(100))
    assert files.size("f") == 100


def test_files_travel_to_another_process(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    files = LocalFiles(tmp_path)
    assert files.size("f") == 3
    assert pickle.loads(pickle.dumps(files)).size("f") == 3
