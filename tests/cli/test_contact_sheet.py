"""`opens2v contact-sheet`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from cli.conftest import Run
    from opens2v_data.sample import SampleFacts


def test_it_writes_a_picture_and_says_where(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("contact-sheet", sample_catalog, "--limit", 1, "-o", "sheet.png")
    assert (shown.code, shown.out, shown.err) == (0, "", "wrote sheet.png\n")
    with Image.open("sheet.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300
        assert len(np.unique(np.asarray(picture.convert("L")))) > 100


def test_it_has_a_name_of_its_own_and_can_be_quiet(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("contact-sheet", sample_catalog, "--limit", 1, "--quiet", "--where", "aesthetic > 6")
    assert (shown.code, shown.out, shown.err) == (0, "", "")
    assert [path.name for path in Path().iterdir()] == ["contact-sheet.png"]


def test_more_rows_give_a_larger_sheet(opens2v: Run, sample_catalog: Path) -> None:
    sizes = []
    for limit in (1, 2):
        assert opens2v("contact-sheet", sample_catalog, "--limit", limit, "--quiet").code == 0
        with Image.open("contact-sheet.png") as picture:
            sizes.append(picture.height)
    assert sizes[1] > sizes[0]


def test_a_clip_without_video_is_drawn_without_pictures(
    opens2v: Run, sample_catalog: Path, sample_facts: SampleFacts
) -> None:
    key = sample_facts.clip_with("absent_video").key
    shown = opens2v("contact-sheet", sample_catalog, "--where", f"clip_key = '{key}'")
    assert shown.code == 0 and Path("contact-sheet.png").is_file()


def test_no_row_that_fits_writes_nothing_and_exits_with_1(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("contact-sheet", sample_catalog, "--where", "aesthetic > 100")
    assert (shown.code, shown.out, shown.err) == (1, "", "no row fits; `opens2v info` shows what there is\n")
    assert list(Path().iterdir()) == []


def test_a_release_that_is_gone_is_said(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("contact-sheet", sample_catalog, "--limit", 1, "--release", "gone")
    assert shown.code == 1 and "expected the release at gone, found no folder" in shown.err


def test_a_place_that_cannot_be_written_is_an_error_and_no_traceback(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("contact-sheet", sample_catalog, "--limit", 1, "-o", "nowhere/sheet.png")
    assert shown.code == 2 and "expected a folder to write 'nowhere/sheet.png' in, found none" in shown.err
