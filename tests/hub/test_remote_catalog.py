"""`load_dataset` and the commands on a catalog that lies on the Hub: the same rows as from a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

import opens2v_data
from hub.loading import run_python
from localhub import LocalHub
from opens2v_data.hub.opened import open_cached
from opens2v_data.triples import VideoRef, clip_address

if TYPE_CHECKING:
    from opens2v_data.dataset import OpenS2V

pytest.importorskip("obstore", reason="the extra hub is not installed")

ADDRESS = "hf://datasets/me/catalog"

IDS = "print(json.dumps(sorted(int(row['clip_id']) for row in rows)))"
LOAD = """
import json, opens2v_data
from datasets import load_dataset
def load(config=None, **options):
    options = {"decode": False, "split": "train", "streaming": True} | options
    return load_dataset("opens2v-5m", config, **options)
"""


@pytest.fixture(scope="module")
def server(many: OpenS2V) -> Iterator[LocalHub]:
    with LocalHub({"me/catalog": many.catalog.root}) as hub:
        yield hub


@pytest.fixture
def hub(server: LocalHub, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    server.reset_counts()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
    return server


def run(hub: LocalHub, folder: Path, code: str, **variables: str) -> Any:
    """Run code in a process that knows this Hub; return what it prints, as JSON."""
    variables |= hub.environment(folder.parent / "home")
    printed = run_python(LOAD + code, folder=folder, path=(), **variables)
    return json.loads(printed.splitlines()[-1])


def opened(address: str) -> Any:
    return fsspec.open(address)


def placed(row: dict[str, Any], uri: str) -> dict[str, Any]:
    """Return a row of a folder as it is from a catalog at `uri`."""
    if "partner" in row:
        return {**row, "clip": placed(row["clip"], uri), "partner": placed(row["partner"], uri)}
    if row["video_path"] is None:
        return row
    ref = VideoRef.from_address(row["video_path"])
    address = clip_address(uri, ref.part, ref.member, ref.offset, ref.size_bytes)
    return {**row, "video_path": address, "video": {"bytes": None, "path": address}}


def test_rows_from_the_hub_are_those_from_the_folder(hub: LocalHub, many: OpenS2V, nothing_named: Path) -> None:
    asked: list[tuple[Any, str | None]] = [
        ("regular", None),
        ("regular", "num_subjects > 1 AND tech > 1.4"),
        ("nexus-gpt", None),
        ("nexus-cross", "has_subject(clip_id, 'woman')"),
    ]
    code = f"print(json.dumps([list(load(c, where=w, data_dir={ADDRESS!r})) for c, w in {asked!r}]))"
    found = run(hub, nothing_named, code)
    uri = f"{ADDRESS}@{hub.head('me/catalog')}"
    for (config, where), rows in zip(asked, found, strict=True):
        expected = [placed(row, uri) for row in many.rows(where, config=config)]
        assert rows == json.loads(json.dumps(expected))
        assert rows
    assert hub.counts().cdn_with_token == 0


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_loader_workers_share_the_rows_from_the_hub(hub: LocalHub, nothing_named: Path, context: str) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    script = nothing_named / "train.py"
    script.write_text(
        LOAD + "from torch.utils.data import DataLoader\n"
        "def main():\n"
        f"    rows = load(data_dir={ADDRESS!r}, columns=['clip_id', 'caption', 'subjects'])\n"
        "    assert next(iter(rows))['clip_id'] == 0\n"
        f"    loader = DataLoader(rows, batch_size=None, num_workers=2, multiprocessing_context={context!r})\n"
        "    print(json.dumps(sorted(int(row['clip_id']) for row in loader)))\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
    )
    printed = run_python(
        "import runpy, sys; sys.path.insert(0, '.'); import train; train.main()",
        folder=nothing_named,
        path=(nothing_named,),
        **hub.environment(nothing_named.parent / "home"),
    )
    assert json.loads(printed.splitlines()[-1]) == list(range(150))


def test_a_stream_from_the_hub_goes_on_where_it_stopped(hub: LocalHub, nothing_named: Path) -> None:
    code = (
        f"make = lambda: load(data_dir={ADDRESS!r}, columns=['clip_id'], where='tech > 1.2')\n"
        "stopped = make(); rows = iter(stopped); head = [next(rows)['clip_id'] for _ in range(41)]\n"
        "resumed = make(); resumed.load_state_dict(stopped.state_dict())\n"
        "print(json.dumps(head + [row['clip_id'] for row in resumed] == [row['clip_id'] for row in make()]))"
    )
    assert run(hub, nothing_named, code) is True


def test_a_catalog_that_a_variable_or_a_setting_names_may_be_on_the_hub(hub: LocalHub, nothing_named: Path) -> None:
    code = f"rows = load(where='clip_id < 4', columns=['clip_id'])\n{IDS}"
    assert run(hub, nothing_named, code, OPENS2V_CATALOG=ADDRESS) == [0, 1, 2, 3]
    used = run(
        hub,
        nothing_named,
        "from opens2v_data.cli import main\n"
        f"assert main(['use', {ADDRESS!r}]) == 0\n"
        "from opens2v_data.catalog.lookup import config_file\n"
        "print(config_file().read_text().replace(chr(10), ''))",
    )
    assert used == {"catalog": ADDRESS}  # not its commit of now
    assert run(hub, nothing_named, code) == [0, 1, 2, 3]


def test_a_revision_of_the_catalogs_own_repository_is_known(hub: LocalHub, nothing_named: Path) -> None:
    commit = hub.head("me/catalog")
    asked = [(f"{ADDRESS}@main", commit), (f"{ADDRESS}@{commit}", commit[:8]), (ADDRESS, "abcdef1")]
    code = (
        "from opens2v_data.errors import CatalogNotFoundError\n"
        "def first(address, revision):\n"
        "    try: return next(iter(load(data_dir=address, revision=revision, columns=['clip_id'])))['clip_id']\n"
        "    except CatalogNotFoundError as error: return str(error)\n"
        f"print(json.dumps([first(*pair) for pair in {asked!r}]))"
    )
    branch, shortened, other = run(hub, nothing_named, code)
    assert (branch, shortened) == (0, 0)
    assert f"expected a catalog of revision 'abcdef1', found at {ADDRESS}@{commit}" in other


def test_rows_that_are_kept_are_those_of_the_commit(
    hub: LocalHub, many: OpenS2V, nothing_named: Path, tmp_path: Path
) -> None:
    hub.add_repo("me/moving", many.catalog.root)
    code = (
        "rows = load(data_dir='hf://datasets/me/moving', streaming=False, columns=['video_path'])\n"
        "print(json.dumps(rows[0]['video_path']))"
    )
    first = run(hub, nothing_named, code)
    assert run(hub, nothing_named, code) == first
    assert VideoRef.from_address(first).catalog_root == f"hf://datasets/me/moving@{hub.head('me/moving')}"
    hub.move("me/moving", many.catalog.root)
    second = run(hub, nothing_named, code)
    assert VideoRef.from_address(second).catalog_root == f"hf://datasets/me/moving@{hub.head('me/moving')}"
    assert second != first


def test_a_clip_of_a_remote_catalog_is_opened_by_its_address(hub: LocalHub, many: OpenS2V) -> None:
    remote = opens2v_data.open(ADDRESS)
    row = next(iter(remote.rows("clip_id = 7")))
    expected = many.read_bytes(VideoRef.from_address(next(iter(many.rows("clip_id = 7")))["video_path"]))
    with opened(row["video_path"]) as file:
        assert file.read() == expected
    hub.reset_counts()
    with opened(row["video_path"]) as file:
        assert file.read() == expected
    assert open_cached(remote.catalog.uri) is open_cached(remote.catalog.uri)
    counts = hub.counts()
    assert counts.api.num_requests + counts.tree.num_requests + counts.resolve.num_requests == 0


def test_commands_take_an_address(hub: LocalHub, many: OpenS2V, capsys: pytest.CaptureFixture[str]) -> None:
    from opens2v_data.cli import main

    assert main(["info", ADDRESS, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["catalog"], told["digest"]) == (f"{ADDRESS}@{hub.head('me/catalog')}", many.catalog.digest)
    assert main(["stream", ADDRESS, "--where", "tech > 1.6", "--limit", "3", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["clip_id"] for row in rows] == [row["clip_id"] for row in many.rows("tech > 1.6", limit=3)]
    assert main(["info", "hf://datasets/me/nowhere"]) == 1
    assert "me/nowhere" in capsys.readouterr().err
    assert main(["info", "hf://models/me/catalog"]) == 2
    assert "expected hf://datasets/OWNER/NAME" in capsys.readouterr().err
