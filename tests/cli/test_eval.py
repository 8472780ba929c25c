"""`opens2v eval`: each step from the command line, its data on stdout and its notes on stderr."""

from __future__ import annotations

import argparse
import csv
import io
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evaluation.made import UPSTREAM, write_model, write_prompts
from opens2v_data.cli import build_parser
from opens2v_data.cli.eval import STEPS, score
from opens2v_data.cli.eval.run import options_of
from opens2v_eval.prompts import domain_keys

if TYPE_CHECKING:
    from cli.conftest import Run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prompts and two models; only read."""
    folder = tmp_path_factory.mktemp("eval")
    write_prompts(folder / "prompts", images=True)
    write_model(folder / "scores-a", seed=1)
    write_model(folder / "scores-b", seed=2, shift=0.15)
    return folder


def step_parsers() -> dict[str, argparse.ArgumentParser]:
    commands = next(action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    steps = next(
        action for action in commands.choices["eval"]._actions if isinstance(action, argparse._SubParsersAction)
    )
    return dict(steps.choices)


@pytest.mark.parametrize("step", STEPS, ids=lambda module: module.NAME)
def test_help_of_a_step_has_each_option_and_an_example_that_it_accepts(opens2v: Run, step: Any) -> None:
    shown = opens2v("eval", step.NAME, "--help")
    assert (shown.code, shown.err) == (0, "")
    for action in step_parsers()[step.NAME]._actions:
        for spelling in action.option_strings or [action.dest]:
            assert spelling in shown.out
        assert action.help, f"{action.dest} of {step.NAME} has no help"
    program, command, name, *_ = words = shlex.split(step.EXAMPLE)
    assert (program, command, name) == ("opens2v", "eval", step.NAME) and step.EXAMPLE in shown.out
    assert build_parser().parse_args(words[1:]).step == step.NAME


def test_the_commands_of_the_guide_are_ones_that_are_accepted() -> None:
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    lines = [line.partition("#")[0] for line in text.splitlines() if line.startswith("opens2v ")]
    assert len(lines) >= 7
    for line in lines:
        command, _, _ = line.partition(" > ")
        assert build_parser().parse_args(shlex.split(command)[1:]).command in ("eval", "explore")


def test_without_a_step_the_usage_is_shown(opens2v: Run) -> None:
    shown = opens2v("eval")
    assert shown.code == 2 and "usage: opens2v eval" in shown.err


def test_prompts_are_listed_as_a_table_and_as_json(opens2v: Run, place: Path) -> None:
    shown = opens2v("eval", "prompts", place / "prompts")
    assert shown.code == 0 and len(shown.out.splitlines()) == 181
    assert shown.out.splitlines()[0].split() == ["key", "category", "images", "prompt"]
    assert "180 prompts from" in shown.err and "30 single-face-to-video" in shown.err
    shown = opens2v("eval", "prompts", place / "prompts", "--json", "--quiet")
    values = json.loads(shown.out)
    assert shown.err == "" and [prompt["key"] for prompt in values["prompts"]] == list(domain_keys("open"))
    assert all(reference["is_there"] for prompt in values["prompts"] for reference in prompt["references"])
    assert opens2v("eval", "prompts", "--prompts", place / "prompts", "--json", "--quiet").out == shown.out
    shown = opens2v("eval", "prompts", place / "prompts", "--prompts", place)
    assert (shown.code, shown.out) == (2, "") and "expected one source of prompts" in shown.err


def test_missing_extra_and_unreadable_videos_are_told_and_exit_with_1(
    opens2v: Run, place: Path, tmp_path: Path
) -> None:
    pytest.importorskip("av", reason="the extra video is not installed")
    (tmp_path / "singleface_1.mp4").write_bytes(b"")
    (tmp_path / "intro.mp4").write_bytes(b"x")
    shown = opens2v("eval", "prompts", place / "prompts", "--videos", tmp_path)
    assert shown.code == 1 and shown.out == ""
    assert "0 of 180 prompts have a video" in shown.err and "and 167 more" in shown.err
    assert "unreadable: singleface_1.mp4: the file is empty" in shown.err and "of no prompt: intro.mp4" in shown.err
    values = json.loads(opens2v("eval", "prompts", place / "prompts", "--videos", tmp_path, "--json").out)
    assert len(values["videos"]["missing"]) == 179 and values["videos"]["unreadable"][0]["key"] == "singleface_1"


def test_prompts_of_another_domain_are_refused(opens2v: Run, place: Path) -> None:
    shown = opens2v("eval", "prompts", place / "prompts" / "Open-Domain_Eval.json", "--domain", "human")
    assert shown.code == 1 and "120 belong to no prompt of the human domain" in shown.err


def test_a_score_table_has_both_modes_side_by_side(opens2v: Run, place: Path) -> None:
    shown = opens2v("eval", "score", place / "scores-a", "--mode", "both", "--resamples", 200)
    assert shown.code == 0
    header, *lines = shown.out.splitlines()
    assert header.split() == ["metric", "weight", "published", "interval", "videos", "corrected", "interval", "videos"]
    assert [line.split()[0] for line in lines] == [
        "Aesthetics",
        "MotionSmoothness",
        "MotionAmplitude",
        "FaceSim",
        "GmeScore",
        "NexusScore",
        "NaturalScore",
        "TotalScore",
    ]
    assert "published: NexusScore:" in shown.err and "left out of the mean" in shown.err
    assert "what the published mode rewards:" in shown.err
    values = json.loads(
        opens2v("eval", "score", place / "scores-a", "--mode", "both", "--resamples", 200, "--json").out
    )
    assert [table["mode"] for table in values] == ["published", "corrected"]
    for table in values:
        assert f"{table['total'] * 100:.2f}" in lines[-1]
        assert table["total_interval"]["low"] < table["total"] < table["total_interval"]["high"]


@pytest.mark.parametrize(("by", "count"), [("category", 7), ("prompt", 180)])
def test_scores_by_category_and_by_prompt_come_as_csv_and_json(opens2v: Run, place: Path, by: str, count: int) -> None:
    rows = list(
        csv.DictReader(io.StringIO(opens2v("eval", "score", place / "scores-a", "--by", by, "--csv", "--quiet").out))
    )
    assert len(rows) == count and {"mode", "category", "FaceSim", "NaturalScore"} <= set(rows[0])
    values = json.loads(opens2v("eval", "score", place / "scores-a", "--by", by, "--json", "--quiet").out)
    assert len(values[f"by_{by}"]) == count
    for row, entry in zip(rows, values[f"by_{by}"], strict=True):
        share = entry["shares"]["gmescore"]
        assert row["GmeScore"] == ("" if share is None else f"{share * 100:.2f}")


def test_a_missing_metric_is_an_error_that_says_how_to_allow_it(opens2v: Run, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "scores", domain="human")
    (folder / "gmescore.json").unlink()
    shown = opens2v("eval", "score", folder, "--domain", "human")
    assert (shown.code, shown.out) == (1, "") and "no scores of GmeScore (gmescore.json)" in shown.err
    shown = opens2v("eval", "score", folder, "--domain", "human", "--allow-missing", "--resamples", 100)
    assert shown.code == 0 and ["GmeScore", "0.15", "missing"] in [line.split() for line in shown.out.splitlines()]
    assert "counts as 0 what is missing: GmeScore" in shown.err
    (folder / "facesim.json").write_text('{"singleface_1": {', encoding="utf-8")
    shown = opens2v("eval", "score", folder, "--domain", "human", "--allow-missing")
    assert shown.code == 1 and "facesim.json" in shown.err and "line 1, column 19 (byte 18 of 18)" in shown.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--json", "--csv"], "expected one of --json and --csv"),
        (["--unchecked"], "--unchecked goes with --prompts"),
        (["--resamples", "5"], "expected 100 resamples or more"),
        (["--level", "2"], "expected a level of 0.5 or more"),
    ],
)
def test_options_that_do_not_go_together_exit_with_2(
    opens2v: Run, place: Path, arguments: list[str], told: str
) -> None:
    shown = opens2v("eval", "score", place / "scores-a", *arguments)
    assert (shown.code, shown.out) == (2, "") and told in shown.err


def test_upstreams_demo_gives_its_total(opens2v: Run) -> None:
    if not UPSTREAM.is_dir():
        pytest.skip("upstream's evaluation files (../shared/upstream_sample/eval) are not on this machine")
    values = json.loads(opens2v("eval", "score", UPSTREAM / "scores", "--json", "--quiet").out)
    assert values["total"] == 0.5959962472265614


def test_two_models_are_compared(opens2v: Run, place: Path) -> None:
    arguments = ("eval", "compare", place / "scores-a", place / "scores-b", "--resamples", 200)
    shown = opens2v(*arguments)
    header, first, *rest = shown.out.splitlines()
    assert shown.code == 0 and header.split()[:4] == ["metric", "category", "prompts", "first"]
    assert first.split()[:3] == ["total", "all", "180"] and len(rest) > 30
    assert "paired bootstrap over prompts" in shown.err and "200 resamples, seed 0" in shown.err
    values = json.loads(opens2v(*arguments, "--json", "--quiet").out)
    assert values["differences"][0]["difference"] > 0 and values["differences"][0]["p"] < 0.05
    rows = list(csv.reader(io.StringIO(opens2v(*arguments, "--csv", "--quiet").out)))
    assert len(rows) == len(values["differences"]) + 1


def test_models_that_share_nothing_cannot_be_compared(opens2v: Run, place: Path, tmp_path: Path) -> None:
    (tmp_path / "gmescore.json").write_text("{}", encoding="utf-8")
    shown = opens2v("eval", "compare", place / "scores-a", tmp_path)
    assert shown.code == 1 and "share no prompt of the open domain that both score" in shown.err


def test_metrics_are_compared_with_peoples_ratings(opens2v: Run, place: Path, tmp_path: Path) -> None:
    ratings = tmp_path / "human.csv"
    lines = ["model,key,rating", *(f"a,{key},{n % 5}" for n, key in enumerate(domain_keys("open"))), "a,intro,3"]
    ratings.write_text("\n".join(lines), encoding="utf-8")
    arguments = ("eval", "agree", f"a={place / 'scores-a'}", f"b={place / 'scores-b'}", ratings, "--resamples", 100)
    shown = opens2v(*arguments)
    assert shown.code == 0 and len(shown.out.splitlines()) == 8
    assert "181 ratings read" in shown.err and "1 of them are of keys that are no prompts" in shown.err
    assert "no ratings of b" in shown.err
    values = json.loads(opens2v(*arguments, "--json", "--quiet").out)
    assert {row["metric"] for row in values["agreements"]} >= {"GmeScore", "FaceSim"}
    shown = opens2v("eval", "agree", place / "scores-a", place / "scores-a", ratings)
    assert shown.code == 2 and "two folders are of the model 'scores-a'" in shown.err
    shown = opens2v("eval", "agree", place / "scores-a", ratings)
    assert shown.code == 1 and "name them alike" in shown.err
    shown = opens2v("eval", "agree", place / "scores-a", "none.csv")
    assert (
        shown.code == 1
        and shown.err == "error: none.csv: expected ratings as CSV; it cannot be read: No such file or directory\n"
    )


def test_models_are_shown_side_by_side_as_a_page_and_as_json(opens2v: Run, place: Path, tmp_path: Path) -> None:
    (tmp_path / "singleface_3.mp4").write_bytes(b"a video")
    models = (f"a={place / 'scores-a'}", place / "scores-b", "--videos", f"a={tmp_path}")
    shown = opens2v("eval", "show", *models, "--prompts", place / "prompts", "-o", "out/side.html")
    assert shown.code == 0 and "wrote out/side.html: 180 prompts, 2 models, 1 videos" in shown.err
    page = Path("out/side.html").read_text(encoding="utf-8")
    assert page.count("<article") == 180 and page.count("<video") == 1
    values = json.loads(opens2v("eval", "show", *models, "--prompts", place / "prompts", "--json").out)
    assert [model["name"] for model in values["models"]] == ["scores-b", "a"]
    shown = opens2v("eval", "show", *models, "--videos", f"c={tmp_path}", "--prompts", place / "prompts")
    assert shown.code == 2 and "--videos names c, but scores are given of a, scores-b" in shown.err
    shown = opens2v("eval", "show", *models[:-1], f"a={tmp_path}/none", "--prompts", place / "prompts")
    assert shown.code == 1 and "none: expected a folder of videos named KEY.mp4; there is none" in shown.err


def test_options_of_metrics_are_read_as_json_or_text() -> None:
    assert options_of(["aesthetics.clip=./clip", "aesthetics.batch=8", "nexusscore.on=true", "facesim.model="]) == {
        "aesthetics": {"clip": "./clip", "batch": 8},
        "nexusscore": {"on": True},
        "facesim": {"model": ""},
    }
    for wrong in ("aesthetics", "aesthetics=8", "aesthetics.=8", ".clip=8"):
        with pytest.raises(ValueError, match=r"expected --option METRIC\.NAME=VALUE"):
            options_of([wrong])


def test_a_run_scores_what_is_there_and_goes_on_where_it_was(opens2v: Run, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="the extra video is not installed")
    pytest.importorskip("cv2", reason="the extra eval is not installed")
    pytest.importorskip("torch", reason="the extra eval is not installed")
    from evaluation.videos import moving_pictures, write_video

    entry = {"prompt": "A cup.", "img_paths": ["a.png"], "class_label": ["Cup"]}
    prompts, videos = tmp_path / "mine.json", tmp_path / "videos"
    prompts.write_text(json.dumps({f"singleobj_{n}": entry for n in (1, 2, 3)}), encoding="utf-8")
    videos.mkdir()
    for n in (1, 2):
        write_video(videos / f"singleobj_{n}.mp4", moving_pictures(6, seed=n))
    arguments = (
        "eval",
        "run",
        videos,
        "--prompts",
        prompts,
        "--unchecked",
        "--metrics",
        "motion_amplitude",
        "--device",
        "cpu",
    )
    shown = opens2v(*arguments, "-o", "scores", "--json")
    assert shown.code == 0 and "2 of 3 prompts have a video" in shown.err and "missing: singleobj_3.mp4" in shown.err
    report = json.loads(shown.out)
    assert (report["scored"], report["kept"], report["failed"]) == (2, 0, [])
    found = json.loads(Path("scores/motion_amplitude.json").read_text(encoding="utf-8"))
    assert set(found) == {"singleobj_1", "singleobj_2"}
    again = json.loads(opens2v(*arguments, "-o", "scores", "--json", "--quiet").out)
    assert (again["scored"], again["kept"]) == (0, 2)
    for index in (0, 1):
        assert opens2v(*arguments, "-o", "shards", "--shard", f"{index}/2", "--quiet").code == 0
    assert json.loads(Path("shards/motion_amplitude.json").read_text(encoding="utf-8")) == found
    scored = opens2v(
        "eval", "score", "shards", "--domain", "single", "--prompts", prompts, "--unchecked", "--allow-missing"
    )
    assert scored.code == 0 and "2 of 3" in scored.out


def test_a_run_without_videos_or_with_a_strange_metric_says_so_at_once(
    opens2v: Run, place: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="the extra eval is not installed")
    videos = tmp_path / "videos"
    videos.mkdir()
    shown = opens2v("eval", "run", videos, "--prompts", place / "prompts")
    assert shown.code == 1 and "none of 180 prompts has a video that can be read" in shown.err
    shown = opens2v("eval", "run", videos, "--prompts", place / "prompts", "--metrics", "beauty")
    assert shown.code == 2 and "'beauty'" in shown.err
    shown = opens2v("eval", "run", videos, "--metrics", "motion_amplitude", "--option", "motion_amplitude.speed=3")
    assert shown.code == 2
    assert "--option: motion_amplitude has no option speed; it has none" in shown.err
    for device, told in (("gpu", "not 'gpu'"), ("cuda:99", "--device cuda:99: torch sees")):
        shown = opens2v("eval", "run", videos, "--metrics", "motion_amplitude", "--device", device)
        assert shown.code == 2 and told in shown.err


def test_what_a_language_model_would_take_is_told_before_it_is_asked(opens2v: Run, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="the extra video is not installed")
    pytest.importorskip("torch", reason="the extra eval is not installed")
    from evaluation.videos import moving_pictures, write_video

    entry = {"prompt": "A cup.", "img_paths": ["a.png"], "class_label": ["Cup"]}
    prompts = tmp_path / "mine.json"
    prompts.write_text(json.dumps({"singleobj_1": entry}), encoding="utf-8")
    write_video(tmp_path / "singleobj_1.mp4", moving_pictures(20))
    arguments = ("eval", "run", tmp_path, "--prompts", prompts, "--unchecked", "--estimate")
    estimate = json.loads(opens2v(*arguments, "--metrics", "naturalscore", "--json", "--prices", "2,10").out)
    assert (estimate["videos"], estimate["requests"], estimate["images"]) == (1, 3, 48)
    assert estimate["cost"] == (estimate["input_tokens"] * 2 + estimate["output_tokens"] * 10) / 1e6
    shown = opens2v(*arguments, "--metrics", "naturalscore")
    assert shown.code == 0 and shown.out.startswith("naturalscore: 1 videos, 3 requests with 48 images")
    shown = opens2v(*arguments, "--metrics", "motion_amplitude")
    assert shown.code == 2 and "--estimate is of naturalscore" in shown.err
    shown = opens2v(*arguments, "--prices", "cheap")
    assert shown.code == 2 and "expected two numbers with a comma between" in shown.err


def test_modes_of_the_parser_are_those_of_the_library() -> None:
    from opens2v_eval.scales import DOMAINS, MODES, VERSIONS

    parser = argparse.ArgumentParser()
    score.add_arguments(parser)
    choices = {action.dest: action.choices for action in parser._actions}
    assert choices["mode"] == (*MODES, "both") and choices["version"] == VERSIONS and choices["domain"] == DOMAINS
