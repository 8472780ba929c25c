"""Prompts: what is published loads, what is not is named, and a local folder, a file and the Hub give the same."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evaluation.made import prompts_json, write_prompts
from localhub import LocalHub
from opens2v_data.cli.eval.common import HUB_DATASET as CLI_HUB_DATASET
from opens2v_data.errors import PromptsError, RemoteError
from opens2v_eval.counting import expected_keys
from opens2v_eval.prompts import (
    CATEGORIES,
    HUB_DATASET,
    PREFIXES,
    Prompt,
    category,
    domain_keys,
    file_name,
    load_prompts,
    prefix,
)
from opens2v_eval.scales import DOMAINS, METRICS, applies, nexus_references

if TYPE_CHECKING:
    from collections.abc import Callable

    from opens2v_eval.scales import Domain


def test_the_command_line_names_the_same_dataset() -> None:
    assert CLI_HUB_DATASET == HUB_DATASET


def test_there_are_180_60_and_90_prompts_in_seven_categories() -> None:
    assert [len(domain_keys(domain)) for domain in DOMAINS] == [180, 60, 90]
    assert Counter(category(key) for key in domain_keys("open")) == {
        "single-face-to-video": 30,
        "single-body-to-video": 30,
        "single-entity-to-video": 30,
        "multi-face-to-video": 15,
        "multi-body-to-video": 15,
        "multi-entity-to-video": 30,
        "human-entity-to-video": 30,
    }
    assert len(CATEGORIES) == 7


@pytest.mark.parametrize(
    "key", ["singleface", "singleface_0", "singleface_03", "Singleface_3", "cat_1", "singleface_3.mp4", ""]
)
def test_what_is_no_key_has_no_category(key: str) -> None:
    with pytest.raises(ValueError, match="expected a key such as singleface_3"):
        category(key)


@pytest.mark.parametrize("domain", DOMAINS)
def test_upstreams_prompts_load_whole(upstream_eval: Path, domain: Domain) -> None:
    path = upstream_eval / "input_json" / file_name(domain)
    prompts = load_prompts(path, domain=domain)
    raw = json.loads(path.read_text(encoding="utf-8"))
    assert set(prompts.keys) == set(domain_keys(domain)) and prompts.keys == tuple(raw)
    for prompt in prompts:
        entry = raw[prompt.key]
        assert (prompt.prompt, list(prompt.image_names)) == (entry["prompt"], entry["img_paths"])
        assert (list(prompt.class_labels), prompt.synthesis_flag) == (entry["class_label"], entry["synthesis_flag"])
        assert len(prompt.image_names) in PREFIXES[prompt.prefix].num_images
    # The images are not part of the sample.
    assert {path for _, path in prompts.missing_images()} == {path for prompt in prompts for path in prompt.image_paths}


def test_which_prompts_a_metric_is_for_is_known_without_the_file(upstream_eval: Path) -> None:
    for domain in DOMAINS:
        prompts = load_prompts(upstream_eval / "input_json", domain=domain)
        for metric in METRICS:
            assert set(expected_keys(metric, domain)) == {prompt.key for prompt in prompts if applies(metric, prompt)}


def test_a_person_is_left_to_facesim_in_prompts_of_faces_and_is_a_human_in_prompts_of_bodies() -> None:
    def prompt(key: str, *labels: str) -> Prompt:
        return Prompt(
            key=key,
            prompt="A man.",
            image_names=labels,
            image_paths=tuple(map(Path, labels)),
            class_labels=labels,
        )

    assert nexus_references(prompt("faceobj_1", "Man", "Dog", "Park")) == ((1, "Dog"), (2, "Park"))
    assert nexus_references(prompt("humanobj_1", "Man", "Dog", "Park")) == ((0, "human"), (1, "Dog"), (2, "Park"))
    assert nexus_references(prompt("multiobject_1", "Man", "Dog")) == ((0, "Man"), (1, "Dog"))
    assert not applies("nexusscore", prompt("singleface_1", "Woman"))
    assert applies("facesim", prompt("singleface_1", "Woman")) and not applies(
        "facesim", prompt("multiface_1", "Man", "Man")
    )


def test_a_folder_its_parent_and_the_file_give_the_same_prompts(prompts_folder: Path, tmp_path: Path) -> None:
    prompts = load_prompts(prompts_folder)
    assert load_prompts(prompts_folder / file_name("open")).prompts == prompts.prompts
    assert not prompts.missing_images()
    write_prompts(tmp_path / "all" / "input_json")
    below = load_prompts(tmp_path / "all")
    assert below.keys == prompts.keys and len(below.missing_images()) == len(
        {p for one in prompts for p in one.image_paths}
    )
    elsewhere = load_prompts(tmp_path / "all", images=prompts_folder)
    assert not elsewhere.missing_images() and elsewhere.prompts == prompts.prompts


def _without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda made: made.pop(key)


def _with(key: str, **fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda made: made.setdefault(key, {}).update(fields)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_without("faceobj_3"), r"1 of 180 prompts are missing \(faceobj_3\)"),
        (
            _with("singleobj_31", prompt="x", img_paths=["a.png"], class_label=["Cup"]),
            "1 belong to no prompt of the open",
        ),
        (_with("cat_1", prompt="x", img_paths=["a.png"], class_label=["Cat"]), "'cat_1' is no key"),
        (
            _with("singleobj_3", class_label=["Cup", "Saucer"]),
            "singleobj_3: 1 img_paths but 2 class_label, which go together",
        ),
        (_with("singleobj_3", class_label="Cup"), "singleobj_3: expected lists of texts"),
        (
            _with("multiface_2", img_paths=["a.png"], class_label=["Man"]),
            "multiface_2: expected 2 or 3 img_paths, found 1",
        ),
        (_with("singleobj_3", img_paths=["../a.png"]), r"singleobj_3: '\.\./a\.png' is no path below"),
        (_with("singleobj_3", img_paths=["/etc/passwd"]), "is no path below the folder"),
        (_with("singleobj_3", prompt=None), "singleobj_3: expected a text as prompt, found null"),
        (lambda made: made.__setitem__("singleobj_3", ["Cup"]), "singleobj_3: expected an object, found an array"),
    ],
)
def test_prompts_that_are_not_the_published_ones_are_named(
    tmp_path: Path, damage: Callable[[dict[str, Any]], object], told: str
) -> None:
    made = prompts_json()
    damage(made)
    (tmp_path / file_name("open")).write_text(json.dumps(made), encoding="utf-8")
    with pytest.raises(PromptsError, match=told):
        load_prompts(tmp_path)


def test_own_prompts_load_unchecked_and_only_their_form_is_held_to(tmp_path: Path) -> None:
    made = {"singleobj_77": {"prompt": "A cup.", "img_paths": ["a.png", "b.png"], "class_label": ["Cup", "Cup"]}}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(made), encoding="utf-8")
    prompts = load_prompts(path, check=False)
    assert prompts["singleobj_77"].category == "single-entity-to-video" and len(prompts) == 1
    with pytest.raises(PromptsError, match="180 of 180 prompts are missing"):
        load_prompts(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"singleobj_1": {\n  "prompt": }', r"line 2, column 13 \(byte 30 of 31\)"),
        ("[]", "an object by keys; found an array"),
        ("", r"line 1, column 1 \(byte 0 of 0\)"),
        ('{"singleobj_1": {}, "singleobj_1": {}}', "singleobj_1 comes more than once"),
    ],
)
def test_a_broken_file_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PromptsError, match=told) as caught:
        load_prompts(path)
    assert str(path) in str(caught.value)


def test_a_place_without_prompts_says_where_they_are(tmp_path: Path) -> None:
    with pytest.raises(PromptsError, match="there is none"):
        load_prompts(tmp_path / "absent")
    with pytest.raises(PromptsError, match=HUB_DATASET):
        load_prompts(tmp_path)
    with pytest.raises(ValueError, match="expected a domain of open, human, single, got 'people'"):
        load_prompts(tmp_path, domain="people")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected hf://datasets/OWNER/NAME"):
        load_prompts("hf://models/someone/prompts")


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The human domain's prompts as a dataset: the file in a folder of its own, images at the top, something else beside."""
    folder = tmp_path_factory.mktemp("hub")
    write_prompts(folder, "human", images=True)
    (folder / "prompts").mkdir()
    (folder / file_name("human")).rename(folder / "prompts" / file_name("human"))
    (folder / "Images" / "other.png").write_bytes(b"wanted by no prompt")
    return folder


@pytest.fixture
def eval_hub(hub_folder: Path, tmp_path: Path, fresh_quotas: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
    with LocalHub({"someone/prompts": hub_folder}) as server:
        # What HF_ENDPOINT sets when huggingface_hub is imported.
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
        template = f"{server.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        yield server


def test_the_hub_gives_the_prompts_with_their_images_once(eval_hub: LocalHub, hub_folder: Path) -> None:
    prompts = load_prompts("hf://datasets/someone/prompts", domain="human")
    local = load_prompts(hub_folder / "prompts", domain="human", images=hub_folder)
    assert prompts.keys == local.keys and not prompts.missing_images()
    assert prompts.source.startswith("hf://datasets/someone/prompts@")
    for ours, theirs in zip(prompts, local, strict=True):
        assert [path.read_bytes() for path in ours.image_paths] == [path.read_bytes() for path in theirs.image_paths]
    assert not (prompts.root / "Images" / "other.png").exists()
    eval_hub.reset_counts()
    again = load_prompts(prompts.source, domain="human")
    assert again.prompts == prompts.prompts
    counts = eval_hub.counts()
    assert counts.cdn.num_bytes == 0 and counts.resolve.num_requests == 0


def test_where_the_hub_cannot_be_reached_the_cache_will_do(eval_hub: LocalHub) -> None:
    fetched = load_prompts("hf://datasets/someone/prompts", domain="human")
    eval_hub.close()
    cached = load_prompts("hf://datasets/someone/prompts", domain="human")
    assert cached.source == f"{fetched.source} in the cache"
    assert cached.prompts == fetched.prompts and not cached.missing_images()
    with pytest.raises(RemoteError, match=r"the Hub did not give the prompts: .*, or give a folder that has"):
        load_prompts("hf://datasets/someone/prompts", domain="single")


def test_a_dataset_without_the_file_and_one_that_is_not_there_are_told_apart(eval_hub: LocalHub) -> None:
    with pytest.raises(PromptsError, match=r"expected one file Open-Domain_Eval\.json, found none among \d+ files"):
        load_prompts("hf://datasets/someone/prompts", domain="open")
    with pytest.raises(RemoteError, match="the Hub did not give the prompts") as caught:
        load_prompts("hf://datasets/someone/nothing", domain="human")
    assert not caught.value.is_retryable and eval_hub.endpoint not in str(caught.value)


def test_prefixes_are_told_from_keys() -> None:
    assert [prefix(f"{name}_7") for name in PREFIXES] == list(PREFIXES)
