"""Review: progress, agreement and disputes are those of the log; verdicts can be taken back; the empty log has words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from explorer.pages import html, make_explorer, run
from opens2v_explorer import review, runtime
from opens2v_explorer.verdicts import Event, VerdictStore, clip_target, pair_target, subject_target, view_target
from opens2v_explorer.verdicts.events import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opens2v_data import OpenS2V
    from opens2v_explorer.runtime import Explorer

SAID = {"ada": "kkkddf", "bo": "kkddd."}
"""By reviewer, a letter a clip; bo judges in the second pass."""

WORDS = {"k": "keep", "d": "drop", "f": "flag"}


@pytest.fixture
def explorer(explorer_catalog: OpenS2V, tmp_path: Path) -> Iterator[Explorer]:
    """An explorer of the sample with an empty log."""
    made = make_explorer(explorer_catalog, tmp_path, reviewer="ada")
    yield made
    made.verdicts.close()
    runtime.use(None)


def event(explorer: Explorer, target: str, verdict: str, **others: Any) -> Event:
    """Return an event of the sample's catalog."""
    values: dict[str, Any] = {"at": "2026-11-25T19:16:24Z", "who": "ada", "kind": "clip"} | others
    values.setdefault("catalog_digest", explorer.catalog.fingerprint)
    return Event(event_id=new_id(), target=target, verdict=verdict, **values)


@pytest.fixture
def targets(explorer: Explorer) -> list[str]:
    """Six clips, which two reviewers have judged."""
    rows = explorer.catalog.all.limit(6).to_arrow(["part", "clip_key"]).to_pylist()
    found = [clip_target(row["part"], row["clip_key"]) for row in rows]
    for round, (who, letters) in enumerate(SAID.items(), start=1):
        said = [(target, WORDS[letter]) for target, letter in zip(found, letters, strict=True) if letter != "."]
        explorer.verdicts.add([event(explorer, target, verdict, who=who, round=round) for target, verdict in said])
    return found


def cells(text: str, testid: str) -> list[list[str]]:
    """Return the cells of a table as text."""
    table = text.partition(f'data-testid="{testid}"')[2].partition("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table.partition("<tbody>")[2])
    return [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]


def test_an_empty_log_says_what_to_do(explorer: Explorer) -> None:
    test = run("review")
    assert not test.exception
    text = html(test)
    assert 'data-state="no-verdicts"' in text and 'data-testid="to-triage"' in text
    assert 'data-testid="exports"' not in text and "0 events in" in text


def test_progress_agreement_and_disputes_are_those_of_the_log(explorer: Explorer, targets: list[str]) -> None:
    test = run("review", "who=cy&part=total_part1")
    assert not test.exception
    text = html(test)
    assert cells(text, "progress") == [
        ["ada", "first", "6", "3", "2", "1"],
        ["bo", "second, blind", "5", "2", "3", "0"],
    ]
    # Four of five agree; chance for kappa 0.6 x 0.4 + 0.4 x 0.6 = 0.48; alpha 1 - 9 x 1 / (5 x 5).
    assert cells(text, "agreement") == [
        ["Krippendorff&#x27;s α", "ada, bo", "0.640", "substantial", "5", "80.0%", "44.4%"],
        ["Cohen&#x27;s κ", "ada, bo", "0.615", "substantial", "5", "80.0%", "48.0%"],
    ]
    assert cells(text, "disagreements") == [[targets[2], "ada: keep, bo: drop"]]
    assert f'href="/clip?who=cy&amp;key={targets[2].replace("/", "%2F")}"' in text
    in_part = explorer.catalog.where("part = 'total_part1'").limit(6).count()
    assert f"Second pass, blind: {in_part} clips that others judged" in text
    assert 'href="/triage?part=total_part1&amp;who=cy&amp;round=2"' in text
    assert [row[:3] for row in cells(text, "exports")] == [
        ["keep", "all who judged it", "2"],
        ["keep", "anyone", "3"],
        ["drop", "all who judged it", "2"],
        ["drop", "anyone", "3"],
        ["flag", "all who judged it", "1"],
        ["flag", "anyone", "1"],
    ]
    assert "exclude=dropped.ids()" in test.code[0].value


@pytest.mark.usefixtures("targets")
def test_a_verdict_is_taken_back_by_its_reviewer_alone(explorer: Explorer) -> None:
    test = run("review")
    mine = explorer.verdicts.current("clip", "ada")
    assert len(test.button) == len(mine) == 6
    test.button(key=f"undo-{mine[-1].event_id}").click().run()
    assert not test.exception
    assert explorer.verdicts.current("clip", "ada") == mine[:-1]
    assert len(explorer.verdicts.current("clip", "bo")) == 5
    assert len(test.button) == 5 and cells(html(test), "progress")[0][2] == "5"


def test_pairs_and_views_are_told_by_kind(explorer: Explorer) -> None:
    pair = pair_target(subject_target("p1", "a", 2), subject_target("p2", "b", 1))
    view = view_target("p1", "a", 3, "dog <b>")
    for who, verdict in (("ada", "same"), ("bo", "unsure")):
        explorer.verdicts.add(
            [event(explorer, target, verdict, who=who, kind=kind) for kind, target in (("pair", pair), ("view", view))]
        )
    text = html(run("review", "on=pair&kind=human"))
    assert 'href="/pairs?kind=human&amp;judged=todo"' in text and "judged=others" not in text
    assert 'href="?kind=human&amp;on=view"' in text  # a filter of clips, which goes on to other pages
    third = html(run("review", "on=view&who=cleo"))
    assert 'href="/views?who=cleo&amp;judged=others"' in third
    assert "Judge 1 view that others have judged, blind" in third
    assert cells(text, "disagreements") == [["p1/a and p2/b objects 2 and 1", "ada: same, bo: unsure"]]
    assert [row[0] for row in cells(text, "exports")] == ["same", "same", "different", "different", "unsure", "unsure"]
    assert "Pairs (2)" in text and "GPT views (2)" in text and "Subjects (" not in text
    views = html(run("review", "on=view"))
    assert cells(views, "disagreements") == [["p1/a view 3/dog &lt;b&gt;", "ada: same, bo: unsure"]]


def test_verdicts_of_another_catalog_are_told(explorer: Explorer, targets: list[str]) -> None:
    assert 'data-testid="other-catalog"' not in html(run("review"))
    explorer.verdicts.add([event(explorer, targets[5], "keep", who="cy", catalog_digest="0" * 64)])
    text = html(run("review"))
    assert (
        'data-testid="other-catalog"' in text
        and "1 of these verdicts were given on a catalog with another digest" in text
    )


@pytest.mark.usefixtures("targets")
def test_a_log_that_cannot_be_written_is_shown_without_ways_to_change_it(explorer: Explorer) -> None:
    explorer.verdicts = VerdictStore(explorer.verdicts.path, read_only=True)
    test = run("review")
    assert not test.exception and not test.button
    assert 'data-state="log-unwritable"' in html(test) and 'data-testid="progress"' in html(test)


def test_what_reviewers_are_called_is_text(explorer: Explorer, targets: list[str]) -> None:
    explorer.verdicts.add([event(explorer, targets[0], "flag", who="<script>x</script>", note="<i>")])
    test = run("review", "who=<script>x</script>")
    assert not test.exception
    assert "<script>" not in html(test) and "<i>" not in html(test)


def test_a_summary_is_kept_until_the_next_verdict(explorer: Explorer, targets: list[str]) -> None:
    one = review.summary_of(explorer.verdicts, "clip")
    assert review.summary_of(explorer.verdicts, "clip") is one
    explorer.verdicts.add([event(explorer, targets[5], "drop", who="bo")])
    two = review.summary_of(explorer.verdicts, "clip")
    assert (one.alpha.num_targets, two.alpha.num_targets) == (5, 6)
    assert sorted(target for target, _ in two.disputed) == sorted([targets[2], targets[5]])
