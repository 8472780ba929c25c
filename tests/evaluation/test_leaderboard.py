"""Leaderboards: upstream's are read, agree with their columns, and are written back byte for byte; what disagrees is named."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.made import write_model
from opens2v_data.errors import BoardError
from opens2v_eval.board_page import board_lines, check_text, disagreements, html_page, markdown, score_columns
from opens2v_eval.counting import CAUTIONS
from opens2v_eval.leaderboard import (
    Board,
    Line,
    add_model,
    board_text,
    check_board,
    guess_domain,
    parse_board,
    percent_text,
    read_board,
    write_board,
)
from opens2v_eval.scorefiles import read_scores, write_scores
from opens2v_eval.totals import ScoreTable, score_table

pytest.importorskip("matplotlib", reason="the extra eval is not installed")
from opens2v_eval.plots import MAX_LINES, draw, inline_svg, save, svg

NUMBERS = "57.55%,47.21%,94.97%,15.02%,55.09%,67.27%,44.08%,67.04%\n"
OPEN = (
    "Model,Venue,Evaluated by,TotalScore↑,Aesthetics↑,MotionSmoothness↑,MotionAmplitude↑,FaceSim↑,GmeScore↑,NexusScore↑,"
    "NaturalScore↑\n"
)
ROW = f"[VACE-14B](https://example.com/vace),Open-Source,OpenS2V Team,{NUMBERS}"
OLD = (
    "Model,Venue,Evaluated by,TotalScore↑,Aesthetics↑,Motion↑,FaceSim↑,GmeScore↑,NaturalScore↑\n"
    "x,y,z,50.0%,50%,50%,50%,50%,50%\n"
)
HOSTILE = f'"[<script>alert(1)</script> | `x`](javascript:alert(1))","a|b","<b>me</b> & ""you""",{NUMBERS}'


def board_of(text: str, name: str = "results_Open-Domain.csv") -> Board:
    return parse_board(text, source=name)


@pytest.mark.parametrize(
    ("name", "count", "largest"), [("Open", 11, 0.0060), ("Human", 20, 0.0079), ("Single", 11, 0.0068)]
)
def test_every_row_of_upstreams_boards_agrees_with_its_columns(
    upstream_eval: Path, tmp_path: Path, name: str, count: int, largest: float
) -> None:
    path = upstream_eval / "leaderboard" / f"results_{name}-Domain.csv"
    board = read_board(path)
    checks = check_board(board)
    assert len(checks) == count and all(check.agrees for check in checks) and disagreements(checks) == []
    found = max(check.difference for check in checks if check.difference is not None)
    assert round(found, 4) == largest
    assert guess_domain(board) == name.lower() and board.version == "1.1"
    assert write_board(board, tmp_path / "copy.csv").read_bytes() == path.read_bytes()


def test_a_row_whose_total_disagrees_is_named() -> None:
    wrong = ROW.replace("[VACE-14B]", "[Other]").replace("57.55%", "61.0%")
    open_ = ROW.replace("[VACE-14B]", "[Unfinished]").replace("67.27%", "-")
    checks = check_board(board_of(OPEN + ROW + wrong + open_))
    assert [check.agrees for check in checks] == [True, False, False]
    assert disagreements(checks) == [
        "Other: the total says 61.00%, its columns give 57.55% (3.45 points apart).",
        "Unfinished: cannot be checked, there is no number in a column that has a weight.",
    ]
    assert check_text(checks).startswith("1 of 3 totals agree with their columns; the largest difference is 3.4")


def test_rounding_of_printed_digits_never_makes_a_row_disagree() -> None:
    @given(st.lists(st.floats(0, 1), min_size=7, max_size=7))
    @settings(max_examples=60, deadline=None)
    def check(shares: list[float]) -> None:
        weights = (0.16, 0.06, 0.02, 0.20, 0.12, 0.20, 0.24)
        total = math.fsum(weight * share for weight, share in zip(weights, shares, strict=True))
        cells = ",".join(percent_text(share) for share in (total, *shares))
        (checked,) = check_board(board_of(f"{OPEN}x,y,z,{cells}\n"))
        assert checked.agrees

    check()


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12),
            st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=8),
            st.floats(0, 1),
        ),
        max_size=5,
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_board_is_written_back_as_it_was(rows: list[tuple[str, str, float]], newline: str, ends: bool) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=newline)
    writer.writerow(OPEN.strip().split(","))
    writer.writerows(
        [name, venue, "me", *[percent_text(share)] * 8] for name, venue, share in rows if name.strip() == name and name
    )
    whole = text.getvalue() if ends else text.getvalue().removesuffix(newline)
    assert board_text(board_of(whole)) == whole


def test_columns_say_the_version_and_the_domain() -> None:
    board = board_of(OLD, "old.csv")
    assert (board.version, board.is_human, guess_domain(board)) == ("1.0", True, "human")
    assert check_board(board)[0].agrees and score_columns(board)[2] == "Motion"
    assert guess_domain(board_of(OPEN + ROW, "board.csv")) is None


def test_scores_of_prompts_that_only_the_open_domain_has_say_whose_board_it_is(tmp_path: Path) -> None:
    board = board_of(OPEN + ROW, "board.csv")
    write_scores(tmp_path, "gmescore", {"singleobj_3": {"gme_score": 0.5}})
    assert guess_domain(board, read_scores(tmp_path)) is None
    write_scores(tmp_path, "gmescore", {"singleobj_3": {"gme_score": 0.5}, "multiface_1": {"gme_score": 0.5}})
    assert guess_domain(board, read_scores(tmp_path)) == "open"
    assert guess_domain(board_of(OPEN + ROW, "Single-Domain.csv"), read_scores(tmp_path)) == "single"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "found nothing"),
        ("Model,Total\n", "venue, evaluatedby, totalscore is not among Model, Total"),
        (OPEN.replace("Aesthetics↑", "Beauty↑"), "expected each of the columns Aesthetics"),
        (OPEN.replace("FaceSim↑,", ""), r"expected the columns of version 1\.1; there is no FaceSim"),
        (OPEN + ROW + "a,b,c\n", "line 3: expected 11 cells as in the first line, found 3"),
        (
            OPEN + ROW.replace("57.55%", "much"),
            "line 2, column TotalScore: expected percent, such as 57.7%, found 'much'",
        ),
        (OPEN + ROW.replace("47.21%", "nan"), "line 2, column aesthetics: expected percent"),
        (OPEN + '"unfinished,', "line 2: expected CSV: unexpected end of data"),
        (OPEN + "," * 10 + "\n" + "  " + "," * 10 + "1%\n", "line 3: expected the name of a model, found none"),
    ],
)
def test_a_table_of_another_form_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(BoardError, match=told):
        board_of(text)


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="it cannot be read: No such file"):
        read_board(tmp_path / "absent.csv")
    (tmp_path / "b.csv").write_bytes(b"Model,\xff")
    with pytest.raises(BoardError, match="byte 6 is none of it"):
        read_board(tmp_path / "b.csv")


@pytest.fixture(scope="module")
def table(model_a: Path) -> ScoreTable:
    return score_table(read_scores(model_a), bootstrap=None)


def test_a_model_is_added_with_its_figures_and_agrees(table: ScoreTable) -> None:
    board = add_model(
        board_of(OPEN + ROW), table, name="my model", link="https://example.com", venue="Lab", evaluated_by="me"
    )
    text = board_text(board)
    assert text.startswith(OPEN + ROW) and text.splitlines()[-1].startswith("[my model](https://example.com),Lab,me,")
    again = board_of(text)
    row = again.rows[-1]
    assert (row.name, row.link, row.venue) == ("my model", "https://example.com", "Lab")
    assert row.total == round(table.total * 100, 2)
    assert all(row.values[line.metric] == round((line.share or 0) * 100, 2) for line in table.lines)
    assert check_board(again)[-1].agrees


def test_what_does_not_belong_on_a_board_is_not_added(table: ScoreTable, tmp_path: Path) -> None:
    board = board_of(OPEN + ROW)
    with pytest.raises(BoardError, match="figures of the published mode; these are corrected"):
        add_model(board, replace(table, mode="corrected"), name="x")
    with pytest.raises(BoardError, match=r"of the human domain, version 1\.0; .* of the open domain, version 1\.1"):
        add_model(board_of(OLD), table, name="x")
    with pytest.raises(BoardError, match="'VACE-14B' is in the board already"):
        add_model(board, table, name="VACE-14B")
    with pytest.raises(ValueError, match="expected a name without brackets"):
        add_model(board, table, name="[x]")
    with pytest.raises(ValueError, match="expected an http or https address"):
        add_model(board, table, name="x", link="javascript:alert(1)")
    human = score_table(read_scores(write_model(tmp_path, domain="human")), bootstrap=None, allow_missing=True)
    with pytest.raises(BoardError, match=r"of all 180 prompts, but Aesthetics has 60 of 180, .*--allow-missing"):
        add_model(board, human, name="x")
    added = add_model(board, human, name="x", allow_partial=True)
    assert added.rows[-1].name == "x"


class _Collector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]


def test_a_page_escapes_what_stands_in_the_table_and_asks_no_server() -> None:
    board = board_of(OPEN + ROW + HOSTILE)
    checks = check_board(board)
    lines = board_lines(board)
    plots = [
        inline_svg(draw(lines, score_columns(board)[1:], kind=kind), name=kind, title="a & b")
        for kind in ("parallel", "radar")
    ]
    page = html_page(board, checks, title="<Board>", plots=plots)
    seen = _Collector()
    seen.feed(page)
    assert "script" not in seen.tags and "b" not in seen.tags and "img" not in seen.tags
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "&lt;b&gt;me&lt;/b&gt; &amp; &quot;you&quot;" in page
    assert [one for one in seen.addresses if not one.startswith("#")] == ["https://example.com/vace"]
    assert seen.tags.count("svg") == 2 and all(text.split(",")[0] in page for text in CAUTIONS)
    ids = [part.partition('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


def test_markdown_ranks_rows_and_escapes_cells() -> None:
    better = ROW.replace("VACE-14B", "Better").replace("57.55%", "60.0%")
    board = board_of(OPEN + ROW + better + HOSTILE)
    text = markdown(board, check_board(board))
    lines = text.splitlines()
    assert lines[0].startswith("| Rank | Model | Venue | Evaluated by | TotalScore | Aesthetics |")
    assert lines[2].startswith("| 1 | [Better](<https://example.com/vace>) | Open-Source | OpenS2V Team | 60.00 |")
    assert r"\<script\>alert(1)\</script\> \| \`x\`" in text and "](<javascript" not in text
    assert "- Better: the total says 60.00%, its columns give 57.55%" in text
    cells = [line.replace(r"\|", "").count("|") for line in lines[:5]]
    assert len(set(cells)) == 1


@pytest.mark.parametrize("kind", ["parallel", "radar"])
def test_a_plot_names_each_line_and_repeats_byte_for_byte(kind: str) -> None:
    columns = ("Aesthetics", "FaceSim", "GmeScore")
    lines = [
        Line(name=f"<model_{n}> & $x$", values={"Aesthetics": 5.0 * n, "FaceSim": None, "GmeScore": 50})
        for n in range(12)
    ]

    def made() -> str:
        return svg(draw(lines, columns, kind=kind, title="A & B"))  # type: ignore[arg-type]

    root = ElementTree.fromstring(made())
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in texts if text and "<model_" in text] == [
        f"{n + 1}  <model_{n}> & $x$" for n in range(MAX_LINES)
    ]
    assert "others" in texts and "A & B" in texts
    assert made() == made()


def test_a_plot_is_saved_by_its_suffix(tmp_path: Path) -> None:
    figure = draw([Line(name="x", values={"a": 1.0, "b": 2.0, "c": 3.0})], ("a", "b", "c"))
    assert save(figure, tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert save(figure, tmp_path / "new" / "plot.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    line = Line(name="x", values={"a": 1.0, "b": 2.0, "c": 3.0})
    with pytest.raises(ValueError, match="expected a model and three columns or more to draw, got 1 and 2"):
        draw([line], ("a", "b"))
    with pytest.raises(ValueError, match="expected parallel or radar as kind of plot, got 'pie'"):
        draw([line], ("a", "b", "c"), kind="pie")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"ends in \.svg or \.png for a plot, got plot\.jpg"):
        save(draw([line], ("a", "b", "c")), tmp_path / "plot.jpg")
