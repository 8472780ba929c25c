"""The page of one clip: what it shows of a sound one, and in which words it tells what is wrong with others."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import opens2v_data
from explorer.components import codes, data_of, stage_html
from explorer.pages import make_explorer, run, url
from opens2v_explorer import clip_html, neighbours
from opens2v_explorer.filters import Filters
from opens2v_explorer.runtime import Explorer
from opens2v_explorer.verdicts import Event, clip_target

if TYPE_CHECKING:
    from explorer.conftest import BrokenCatalog


WHEN: dict[str, str] = {"at": "2026-11-25T19:16:24.051Z", "catalog_digest": "0"}


@pytest.fixture(scope="module")
def broken(broken_catalog: BrokenCatalog) -> opens2v_data.OpenS2V:
    return opens2v_data.open(broken_catalog.root)


@pytest.fixture(autouse=True)
def explorer(broken: opens2v_data.OpenS2V, tmp_path: Path) -> Explorer:
    return make_explorer(broken, tmp_path)


def key_of(catalog: opens2v_data.OpenS2V, clip_id: int) -> str:
    (row,) = catalog.rows_of([clip_id], with_subjects=False)
    return f"{row['part']}/{row['clip_key']}"


def shown(catalog: opens2v_data.OpenS2V, clip_id: int, query: str = "") -> Any:
    test = run("clip", f"key={key_of(catalog, clip_id)}&{query}")
    assert not test.exception
    return test


def test_a_sound_clip_is_shown_whole(broken: opens2v_data.OpenS2V, broken_catalog: BrokenCatalog) -> None:
    test = shown(broken, broken_catalog.sound)
    (triple,) = broken.get([key_of(broken, broken_catalog.sound)])
    html = stage_html(test)
    (player,) = data_of(test, "opens2v_player")
    assert f"/clip/{broken_catalog.sound}/video.mp4?v=" in player["src"]
    assert "/still/FRAME.webp?v=" in player["still"]
    assert player["annotated"] == triple.clip.ann_frame_idx
    numbers = {int(one) for one in re.findall(r'data-testid="region-(\d+)"', html)}
    assert numbers == set(range(1, len(player["outlines"]) + 1))
    assert f"{len(triple.subjects)} subjects in {len(numbers)} regions" in html
    for subject in triple.subjects:
        assert f'<tr data-object="{subject.object_id}">' in html
    for word in (
        "Aesthetic",
        "optical flow",
        "First frame at",
        "Face cut",
        "Source video",
        "Quirks of the record",
        "Piece",
    ):
        assert word in html
    text = unescape(
        re.sub(
            r"<span class=\"badge\".*?</span>|<[^>]+>", "", html.split('data-testid="caption">')[1].split("</div>")[0]
        )
    )
    assert text == triple.caption
    assert codes(test) == set()
    assert f"catalog.get(['{key_of(broken, broken_catalog.sound)}'])" in test.code[0].value


def test_caption_words_carry_the_number_and_colour_of_their_region(
    broken: opens2v_data.OpenS2V, broken_catalog: BrokenCatalog
) -> None:
    html = stage_html(shown(broken, broken_catalog.sound))
    words = re.findall(r'class="word" data-region="([\d ]+)".*?--c:(#\w+)">([^<]+)', html)
    assert words
    for numbers, color, text in words:
        first = numbers.split()[0]
        badge = f'<span class="badge" style="background:{color}" aria-hidden="true">{first}</span>'
        assert badge in html.split(f'data-testid="region-{first}"')[1].split("</header>")[0]
        names = html.split(f'data-testid="region-{first}"')[1].split("</ul>")[0].lower()
        assert text.lower() in names


def test_without_a_key_the_first_clip_of_the_filters_is_shown(broken: opens2v_data.OpenS2V) -> None:
    test = run("clip", "sort=-aesthetic")
    first = int(broken.all.sort("-aesthetic").ids()[0])
    assert f"/clip/{first}/frame.webp" in stage_html(test)


def test_states_have_their_own_words(broken: opens2v_data.OpenS2V, broken_catalog: BrokenCatalog) -> None:
    missing = shown(broken, broken_catalog.missing)
    assert "not-in-release" in codes(missing)
    assert not data_of(missing, "opens2v_player")
    assert "not in this release" in stage_html(missing)
    corrupt = shown(broken, broken_catalog.corrupt)
    assert "corrupt" in codes(corrupt)
    assert [one.label for one in corrupt.button] == ["Try again"]
    maskless = shown(broken, broken_catalog.maskless)
    assert "no-masks" in codes(maskless)
    assert 'data-kind="box"' in stage_html(maskless)
    wrong = stage_html(shown(broken, broken_catalog.wrong_size))
    assert re.search(r"mask is \d+ x \d+ pixels, the frame \d+ x \d+", wrong)
    assert 'data-code="mask-size"' in wrong
    assert "along=box" in wrong


def test_no_pairs_no_views_and_no_plate_are_said(broken: opens2v_data.OpenS2V) -> None:
    seen: set[str] = set()
    paired = {
        row[name] for row in broken.rows(config="nexus-cross") for name in ("clip_id", "partner_clip_id") if name in row
    }
    for row in broken.rows():
        if row["clip_id"] not in paired and not row["background_path"]:
            seen |= codes(shown(broken, row["clip_id"]))
            break
    assert {"no-background", "no-views"} <= seen


def test_an_unknown_key_and_an_empty_filter_are_told() -> None:
    test = run("clip", "key=total_part1/nothing")
    assert codes(test) == {"no-such-clip"}
    assert "has 1 of 1 keys" in stage_html(test)
    assert codes(run("clip", "ids=999999")) == {"no-results"}


def test_a_typed_key_goes_to_the_url(broken: opens2v_data.OpenS2V, broken_catalog: BrokenCatalog) -> None:
    test = run("clip", "aesthetic=1..")
    test.text_input[0].set_value(f" {key_of(broken, broken_catalog.sound)} ").run()
    assert url(test)["key"] == [key_of(broken, broken_catalog.sound)]
    assert url(test)["aesthetic"] == ["1.."]
    assert key_of(broken, broken_catalog.sound).partition("/")[2] in stage_html(test)


def test_previous_and_next_follow_the_order_of_the_filters(broken: opens2v_data.OpenS2V) -> None:
    query = "aesthetic=5..&sort=-motion"
    filters = Filters.from_params({"aesthetic": ["5.."], "sort": ["-motion"]})[0]
    ids = filters.slice(broken).ids().tolist()
    assert len(ids) > 3
    for at in (0, len(ids) - 1):
        html = stage_html(shown(broken, ids[at], query))
        assert f"{at + 1} of {len(ids)} in the order of the filters" in html
        for testid, other in (("clip-before", at - 1), ("clip-after", at + 1)):
            link = html.split(f'data-testid="{testid}"')[0].rpartition("<")[2]
            if 0 <= other < len(ids):
                name = key_of(broken, ids[other]).replace("/", "%2F")
                assert f"key={name}" in link
                assert "aesthetic=5.." in link
            else:
                assert "href" not in link
    outside = next(one for one in range(len(broken)) if one not in ids)
    assert f"Not among the {len(ids)} clips" in stage_html(shown(broken, outside, query))


def test_neighbours_of_all_clips_need_no_list_of_ids(
    broken: opens2v_data.OpenS2V, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "ordered_ids", lambda _: pytest.fail("asked for ids"))
    last = len(broken) - 1
    assert neighbours.neighbours(Filters(), 0) == neighbours.Neighbours(place=1, total=last + 1, before=None, after=1)
    assert neighbours.neighbours(Filters(), last).after is None


def test_neighbours_keep_an_order_until_verdicts_change_it(explorer: Explorer, broken: opens2v_data.OpenS2V) -> None:
    filters = Filters(verdict="unjudged")
    assert neighbours.neighbours(filters, 3).place == 4
    (row,) = broken.rows_of([1], with_subjects=False)
    explorer.verdicts.add([event(row["part"], row["clip_key"])])
    assert neighbours.neighbours(filters, 3).place == 3
    assert neighbours.neighbours(filters, 1).place is None


def event(part: str, key: str) -> Event:
    values: dict[str, Any] = {
        "event_id": "6b1d4f6e-58d4-4c0e-9d5c-0d7a1c6f0001",
        "at": "2026-11-25T19:16:24.051Z",
        "catalog_digest": "0",
        "who": "ann",
    }
    return Event(kind="clip", target=clip_target(part, key), verdict="drop", **values)


def test_what_reviewers_said_of_the_clip_is_shown(
    explorer: Explorer, broken: opens2v_data.OpenS2V, broken_catalog: BrokenCatalog
) -> None:
    assert "Verdicts: none yet" in stage_html(shown(broken, broken_catalog.sound))
    (row,) = broken.rows_of([broken_catalog.sound], with_subjects=False)
    explorer.verdicts.add([event(row["part"], row["clip_key"])])
    assert "Verdicts: drop by ann" in stage_html(shown(broken, broken_catalog.sound))


def test_pieces_that_are_told_hold_the_clips_bytes(broken: opens2v_data.OpenS2V, broken_catalog: BrokenCatalog) -> None:
    for clip_id in (broken_catalog.sound, broken_catalog.maskless):
        (triple,) = broken.get([key_of(broken, clip_id)])
        spans = clip_html.piece_spans(broken, triple.clip)
        assert spans
        data = b"".join((broken_catalog.release / path).read_bytes()[at : at + length] for path, at, length in spans)
        assert data == broken.read_bytes(triple.clip.video)


def test_the_snippet_reads_the_clip(broken: opens2v_data.OpenS2V, broken_catalog: BrokenCatalog) -> None:
    (triple,) = broken.get([key_of(broken, broken_catalog.sound)])
    names: dict[str, Any] = {}
    exec(clip_html.snippet(broken, triple.clip), names)
    assert names["triple"].clip.key == triple.clip.key


def test_the_real_clip_has_nine_regions_and_a_box_far_from_its_mask(real_catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    make_explorer(opens2v_data.open(real_catalog), tmp_path / "real")
    test = run("clip")
    html = stage_html(test)
    (player,) = data_of(test, "opens2v_player")
    assert "16 subjects in 9 regions" in html
    assert 'data-code="box-far">box far from mask: they overlap by 0.15' in html
    assert player["pts0"] == pytest.approx(0.066, abs=0.001)
    assert np.isclose(player["fps"], 29.97, atol=0.01)
    assert player["ranges"] == [{"name": "cut", "start": 0, "end": 95}]
