"""Rows as folders: names that are safe, cut-outs that are the exact masks, and what happens when something is missing."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

import opens2v_data
from opens2v_data.errors import MissingPieceError
from opens2v_loaders import SavedRow, save_row, saving
from opens2v_loaders.saving import ROW_FILE, safe_name

if TYPE_CHECKING:
    from opens2v_data.sample import SampleFacts
    from opens2v_data.triples import VideoRef

NAMES = st.text(st.characters(), max_size=200) | st.text(st.sampled_from("./\\~-_ aAé\x00:\ud800"), max_size=12)
PLAIN = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}[A-Za-z0-9_]", fullmatch=True)


@given(NAMES)
@example("")
@example("..")
@example("a/../../b")
@example("C:\\Windows")
@example("x" * 5000)
def test_a_safe_name_stays_in_its_folder_on_every_system(name: str) -> None:
    safe = safe_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,150}", safe)
    assert not safe.startswith(".") and not safe.endswith(".")
    assert PurePosixPath(safe).parts == PureWindowsPath(safe).parts == (safe,)


@given(NAMES, NAMES)
@example("a/b", "a_b")
@example("a b", "a/b")
@example("\ud800", "\ud801")
@example("", "_")
@example("x" * 5000, "x" * 5001)
def test_different_names_stay_different(one: str, other: str) -> None:
    if one != other:
        assert safe_name(one) != safe_name(other)
        # Also when the other is what the first is changed to.
        assert safe_name(one) == one or safe_name(safe_name(one)) != safe_name(one)


@given(PLAIN)
def test_a_plain_name_is_left_as_it_is(name: str) -> None:
    if re.search(r"-[0-9a-f]{8}$", name) is None:
        assert safe_name(name) == name


@given(st.text(min_size=1), st.integers(10, 60))
def test_a_name_is_no_longer_than_asked(name: str, max_length: int) -> None:
    assert len(safe_name(name, max_length=max_length)) <= max_length


@pytest.fixture(scope="session")
def dataset(sample_catalog: Path, sample_release: Path) -> opens2v_data.OpenS2V:
    """The sample, opened."""
    return opens2v_data.open(sample_catalog, release=sample_release)


def save(dataset: opens2v_data.OpenS2V, root: Path, row: dict[str, Any], **readers: Any) -> SavedRow:
    """Save a row with the dataset's readers, or others."""
    return save_row(
        root,
        row,
        read_video=readers.get("read_video", dataset.read_bytes),
        read_file=readers.get("read_file", dataset.media.read_file),
    )


def row_of(dataset: opens2v_data.OpenS2V, key: str) -> dict[str, Any]:
    """Return the row of a clip."""
    return next(dataset.rows(f"clip_key = '{key}'"))


def test_cut_outs_are_the_exact_masks(dataset: opens2v_data.OpenS2V, sample_facts: SampleFacts, tmp_path: Path) -> None:
    num_masks = 0
    for row in dataset.rows():
        clip = sample_facts.clip(row["clip_key"])
        saved = save(dataset, tmp_path, row)
        if clip.video is None:
            continue
        assert saved.is_saved
        width, height = clip.cropped_size
        with Image.open(saved.folder / "frame.png") as picture:
            frame = np.asarray(picture.convert("RGB"))
        assert frame.shape == (height, width, 3)
        for subject in clip.subjects:
            mask = subject.mask()
            path = saved.folder / f"subjects/{subject.object_id:02d}_{subject.class_name.replace(' ', '_')}.png"
            if mask is None or not mask.any() or mask.shape != (height, width):
                assert not path.exists()
                continue
            with Image.open(path) as picture:
                assert picture.mode == "RGBA"
                pixels = np.asarray(picture)
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            here = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
            assert np.array_equal(pixels[..., 3] > 0, mask[here])
            assert np.array_equal(pixels[..., :3], frame[here])
            num_masks += 1
    assert num_masks > 60


@pytest.mark.parametrize(
    ("quirk", "reason"),
    [
        ("mask_size", r"mask is \d+x\d+, frame is \d+x\d+"),
        ("null_mask_annotation", "no mask"),
        ("more_annotations_than_masks", "no mask"),
        ("empty_mask", "empty mask"),
    ],
)
def test_a_mask_that_cannot_be_used_is_cut_by_its_box_and_noted(
    dataset: opens2v_data.OpenS2V, sample_facts: SampleFacts, tmp_path: Path, quirk: str, reason: str
) -> None:
    clip = sample_facts.clip_with(quirk)
    saved = save(dataset, tmp_path, row_of(dataset, clip.key))
    assert saved.is_saved
    boxes = sorted((saved.folder / "subjects").glob("*_box.png"))
    assert len(boxes) == len(saved.notes) > 0
    for note in saved.notes:
        assert re.fullmatch(rf"subject .+: cut by its box \({reason}\)", note)
    for path in boxes:
        with Image.open(path) as picture:
            assert np.asarray(picture)[..., 3].min() == 255


@pytest.mark.parametrize(
    "key", ["../../escaped", "/etc/passwd", "ключ\U0001f600", "k" * 4000, "..", "a\x00b", "con/aux"]
)
def test_any_key_gives_one_folder_below_the_root(dataset: opens2v_data.OpenS2V, tmp_path: Path, key: str) -> None:
    root = tmp_path / "out"
    row = next(dataset.rows(limit=1)) | {"clip_key": key}
    saved = save(dataset, root, row)
    assert saved.is_saved
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert list(root.iterdir()) == [saved.folder]
    assert json.loads((saved.folder / ROW_FILE).read_text(encoding="utf-8"))["clip_key"] == key


@pytest.mark.parametrize("class_name", ["../up", "man / woman", "кошка", "w" * 3000, ""])
def test_any_class_name_gives_a_file_in_the_subjects_folder(
    dataset: opens2v_data.OpenS2V, tmp_path: Path, class_name: str
) -> None:
    row = next(dataset.rows(limit=1))
    row["subjects"] = [row["subjects"][0] | {"class_name": class_name}]
    saved = save(dataset, tmp_path, row)
    (path,) = (saved.folder / "subjects").iterdir()
    assert path.name.startswith("01_") and path.suffix == ".png"
    assert [entry.name for entry in tmp_path.iterdir()] == [saved.folder.name]


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "the video does not decode"), (b"no video at all" * 99, "the video does not decode")]
)
def test_a_damaged_video_is_not_saved_and_the_note_says_why(
    dataset: opens2v_data.OpenS2V, tmp_path: Path, data: bytes, reason: str
) -> None:
    row = next(dataset.rows(limit=1))
    saved = save(dataset, tmp_path, row, read_video=lambda ref: data)
    assert not saved.is_saved
    (note,) = saved.notes
    assert note.startswith(reason)
    assert not (saved.folder / ROW_FILE).exists()
    # Mended, it is written.
    assert save(dataset, tmp_path, row).is_saved
    assert (saved.folder / ROW_FILE).is_file()


def test_a_video_cut_before_the_annotated_frame_is_not_saved(
    dataset: opens2v_data.OpenS2V, sample_facts: SampleFacts, tmp_path: Path
) -> None:
    clip = next(clip for clip in sample_facts.clips if clip.video and clip.video.moov_at_end)
    row = row_of(dataset, clip.key)
    saved = save(dataset, tmp_path, row, read_video=lambda ref: dataset.read_bytes(ref)[: ref.size_bytes // 2])
    assert not saved.is_saved and saved.notes[0].startswith("the video does not decode: ")


def test_bytes_that_are_not_there_are_noted(dataset: opens2v_data.OpenS2V, tmp_path: Path) -> None:
    def gone(ref: VideoRef) -> bytes:
        raise MissingPieceError(f"no piece for {ref.member}")

    saved = save(dataset, tmp_path, next(dataset.rows(limit=1)), read_video=gone)
    assert not saved.is_saved and saved.notes[0].startswith("no video: no piece for ")
    assert [path.name for path in saved.folder.iterdir()] == ["caption.txt"]


def test_a_view_that_is_not_there_is_noted_and_the_rest_saved(dataset: opens2v_data.OpenS2V, tmp_path: Path) -> None:
    def gone(path: str) -> bytes:
        raise MissingPieceError(f"no {path}")

    row = next(dataset.rows(config="nexus-gpt", limit=1))
    saved = save(dataset, tmp_path, row, read_file=gone)
    assert saved.is_saved
    assert [note for note in saved.notes if note.startswith("view ")] == [
        f"view {view['view_idx']}: no {view['path']}" for view in row["views"]
    ]


def test_a_clip_without_an_annotated_frame_is_saved_without_cut_outs(
    dataset: opens2v_data.OpenS2V, tmp_path: Path
) -> None:
    saved = save(dataset, tmp_path, next(dataset.rows(limit=1)) | {"ann_frame_idx": None})
    assert (saved.is_saved, saved.notes) == (True, ("no annotated frame, so no cut-outs",))
    assert {path.name for path in saved.folder.iterdir()} == {"caption.txt", "clip.mp4", ROW_FILE}


def test_an_interrupted_row_is_written_again_and_a_whole_one_is_not(
    dataset: opens2v_data.OpenS2V, tmp_path: Path
) -> None:
    row = next(dataset.rows(limit=1))
    saved = save(dataset, tmp_path, row)
    files = {path: path.read_bytes() for path in saved.folder.rglob("*") if path.is_file()}
    (saved.folder / ROW_FILE).unlink()
    (saved.folder / "clip.mp4").write_bytes(b"half")
    (saved.folder / f"{ROW_FILE}.tmp").write_text("{")
    assert save(dataset, tmp_path, row) == saved
    assert {path: path.read_bytes() for path in saved.folder.rglob("*") if path.is_file()} == files

    def never(_: object) -> bytes:
        raise AssertionError("a whole row was read again")

    assert save(dataset, tmp_path, row, read_video=never, read_file=never) == saved


def test_an_interruption_leaves_no_row_file(dataset: opens2v_data.OpenS2V, tmp_path: Path) -> None:
    def interrupted(ref: VideoRef) -> bytes:
        raise KeyboardInterrupt

    row = next(dataset.rows(limit=1))
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        save(dataset, tmp_path, row, read_video=interrupted)
    assert list(tmp_path.rglob(ROW_FILE)) == []
    assert save(dataset, tmp_path, row).is_saved


def test_a_pair_with_one_side_missing_is_not_saved_and_names_the_side(
    dataset: opens2v_data.OpenS2V, tmp_path: Path
) -> None:
    row = next(dataset.rows(config="nexus-cross", limit=1))
    row["partner"] = row["partner"] | {"video_path": None}
    saved = save(dataset, tmp_path, row)
    assert saved.folder.name == f"pair-{row['pair_id']:08d}"
    assert (saved.is_saved, saved.notes) == (False, ("partner: no video: the release has no bytes for this clip",))
    assert not (saved.folder / ROW_FILE).exists()


def test_what_datasets_decoded_is_left_out_of_the_saved_row() -> None:
    row = {
        "video": object(),
        "video_path": "opens2v://c/p/0-5/m",
        "views": [{"image": object(), "path": "v.png"}],
        "n": 1.5,
    }
    expected = {
        "video": None,
        "video_path": "opens2v://c/p/0-5/m",
        "views": [{"image": None, "path": "v.png"}],
        "n": 1.5,
    }
    assert saving._plain(row) == expected
