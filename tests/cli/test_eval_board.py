"""`opens2v eval leaderboard`: boards re-checked, extended and drawn from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evaluation.made import UPSTREAM, write_model

if TYPE_CHECKING:
    from cli.conftest import Run

HEAD = (
    "Model,Venue,Evaluated by,TotalScore↑,Aesthetics↑,MotionSmoothness↑,MotionAmplitude↑,FaceSim↑,GmeScore↑,NexusScore↑,"
    "NaturalScore↑\n"
)
ROW = "[VACE-14B](https://example.com/vace),Open-Source,OpenS2V Team,57.55%,47.21%,94.97%,15.02%,55.09%,67.27%,44.08%,67.04%\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models and a board; only read."""
    folder = tmp_path_factory.mktemp("board")
    write_model(folder / "scores-a", seed=1)
    write_model(folder / "scores-b", seed=2, shift=0.15)
    (folder / "results_Open-Domain.csv").write_text(HEAD + ROW, encoding="utf-8")
    return folder


def test_a_model_is_added_to_a_board_which_is_rendered(opens2v: Run, place: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra eval is not installed")
    board = place / "results_Open-Domain.csv"
    out = tmp_path / "out"
    made = [out / name for name in ("board.csv", "board.md", "board.html", "board.svg")]
    options = [part for pair in zip(("-o", "--markdown", "--html", "--plot"), made, strict=True) for part in pair]
    shown = opens2v("eval", "leaderboard", board, "--add", place / "scores-a", "--name", "my-model", *options)
    assert shown.code == 0 and "2 of 2 totals agree with their columns; the largest difference is 0.00" in shown.err
    assert shown.out.splitlines()[0].split()[:3] == ["rank", "model", "TotalScore"] and len(shown.out.splitlines()) == 3
    assert made[0].read_text(encoding="utf-8").startswith(HEAD + ROW + "my-model,Open-Source,,")
    assert "my-model" in made[1].read_text(encoding="utf-8") and made[2].read_text(encoding="utf-8").count("<svg") == 2
    assert all(f"wrote {path}" in shown.err for path in made)
    values = json.loads(opens2v("eval", "leaderboard", made[0], "--json", "--quiet").out)
    total = json.loads(opens2v("eval", "score", place / "scores-a", "--json", "--quiet").out)["total"]
    assert values["rows"][1]["total"] == round(total * 100, 2) and values["rows"][1]["agrees"]
    again = opens2v(
        "eval", "leaderboard", made[0], "--add", place / "scores-b", "--name", "my-model", "--domain", "open"
    )
    assert again.code == 1 and "'my-model' is in the board already" in again.err


def test_without_matplotlib_a_board_is_checked_but_not_drawn(
    opens2v: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "opens2v_eval.plots", raising=False)
    board = place / "results_Open-Domain.csv"
    assert opens2v("eval", "leaderboard", board, "--markdown", "board.md").code == 0
    shown = opens2v("eval", "leaderboard", board, "-o", "again.csv", "--plot", "board.svg")
    assert not Path("again.csv").exists()
    assert (
        shown.code == 1
        and 'a plot needs matplotlib, which is not installed: pip install "opens2v-data[eval]"' in shown.err
    )


def test_a_wrong_total_on_a_board_is_named_and_exits_with_1(opens2v: Run, tmp_path: Path) -> None:
    board = tmp_path / "board.csv"
    board.write_text(HEAD + ROW.replace("57.55%", "60%"), encoding="utf-8")
    shown = opens2v("eval", "leaderboard", board, "--quiet")
    assert shown.code == 1
    assert shown.err == "VACE-14B: the total says 60.00%, its columns give 57.55% (2.45 points apart).\n"
    shown = opens2v("eval", "leaderboard", board, "--add", tmp_path)
    assert shown.code == 2 and "--add and --name go together" in shown.err
    (tmp_path / "gmescore.json").write_text('{"singleobj_1": {"gme_score": 0.5}}', encoding="utf-8")
    shown = opens2v("eval", "leaderboard", board, "--add", tmp_path, "--name", "x")
    assert shown.code == 2 and "give --domain" in shown.err


def test_upstreams_boards_are_checked_row_by_row(opens2v: Run) -> None:
    if not UPSTREAM.is_dir():
        pytest.skip("upstream's evaluation files (../shared/upstream_sample/eval) are not on this machine")
    largest, domains = [], []
    for path in sorted((UPSTREAM / "leaderboard").iterdir()):
        shown = opens2v("eval", "leaderboard", path, "--json", "--quiet")
        assert (shown.code, shown.err) == (0, "")
        values = json.loads(shown.out)
        largest.append(round(values["largest_difference"], 4))
        domains.append(values["domain"])
    assert largest == [0.0079, 0.006, 0.0068] and domains == ["human", "open", "single"]


def test_a_board_of_any_name_takes_a_model_that_has_scores_of_all_kinds_of_prompts(
    opens2v: Run, place: Path, tmp_path: Path
) -> None:
    board = tmp_path / "board.csv"
    board.write_text(HEAD + ROW, encoding="utf-8")
    shown = opens2v("eval", "leaderboard", board, "--add", place / "scores-a", "--name", "my-model")
    assert shown.code == 0 and "my-model" in shown.out


@pytest.mark.parametrize(
    ("name", "columns", "domain"),
    [
        ("results_Open-Domain.csv", "all", "open"),
        ("results_Single-Domain.csv", "all", "single"),
        ("mine.csv", "without NexusScore", "human"),
        ("mine.csv", "all", None),
    ],
)
def test_the_domain_of_a_board_is_what_its_name_and_columns_say(
    opens2v: Run, tmp_path: Path, name: str, columns: str, domain: str | None
) -> None:
    board = tmp_path / name
    head, row = HEAD, ROW
    if columns != "all":
        head, row = HEAD.replace("NexusScore↑,", ""), ROW.replace("44.08%,", "").replace("57.55%", "61.47%")
    board.write_text(head + row, encoding="utf-8")
    shown = opens2v("eval", "leaderboard", board, "--json", "--quiet")
    assert (shown.code, json.loads(shown.out)["domain"]) == (0, domain)


def test_a_domain_that_the_columns_contradict_is_refused(opens2v: Run, place: Path) -> None:
    shown = opens2v("eval", "leaderboard", place / "results_Open-Domain.csv", "--domain", "human")
    assert (shown.code, shown.out) == (2, "") and "has NexusScore, which the human domain lacks" in shown.err
