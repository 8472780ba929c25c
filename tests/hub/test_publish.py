"""Publishing to a Hub on this machine through the real client: what goes there, in which order, and what is refused."""

from __future__ import annotations

import json
import logging
import shutil
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import huggingface_hub.lfs
import msgspec
import pytest
from huggingface_hub import CommitOperationAdd, HfApi

import opens2v_data
from hub.loading import run_python
from hub.test_preview import draw
from localhub import Faults, LocalHub
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.verify import verify
from opens2v_data.errors import CatalogDamagedError, CatalogError, RemoteError
from opens2v_data.hub import publish
from opens2v_data.hub.client import CLIENT_LOGGERS
from opens2v_data.hub.publish import Plan, PublishOptions, plan_publication, published_source, upload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opens2v_data.dataset import OpenS2V

REPO = "me/cat"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SOURCE = f"hf://datasets/BestWishYsh/OpenS2V-5M@{COMMIT}"


@pytest.fixture(autouse=True)
def no_xet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The local Hub speaks LFS only; the client reads the variable when it is imported, so its value is set here."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LocalHub]:
    """A Hub without repositories."""
    (tmp_path / "objects").mkdir()
    with LocalHub(tmp_path / "objects") as server:
        yield server


@pytest.fixture
def api(hub: LocalHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=hub.token)


class Publisher:
    """Plans and uploads to the Hub of a test, each time in a folder of its own."""

    def __init__(self, hub: LocalHub, folder: Path) -> None:
        self.hub = hub
        self.folder = folder
        self.count = 0

    def plan(self, dataset: OpenS2V, *, token: str | None = None, **options: Any) -> Plan:
        self.count += 1
        options = {"num_preview_rows": 0, "source": SOURCE} | options
        return plan_publication(
            dataset,
            REPO,
            work=self._folder(),
            options=PublishOptions(**options),
            draw=draw,
            endpoint=self.hub.endpoint,
            token=token or self.hub.token,
        )

    def publish(self, dataset: OpenS2V, **options: Any) -> publish.Published:
        return upload(self.plan(dataset, **options))

    def _folder(self) -> Path:
        folder = self.folder / f"work{self.count}"
        folder.mkdir()
        return folder


@pytest.fixture
def publisher(hub: LocalHub, tmp_path: Path) -> Publisher:
    return Publisher(hub, tmp_path)


def downloaded(api: HfApi, folder: Path, revision: str | None = None) -> Path:
    """Return a copy of what readers find, taken with the real client."""
    api.snapshot_download(REPO, repo_type="dataset", revision=revision, local_dir=folder)
    shutil.rmtree(folder / ".cache")
    return folder


def names(api: HfApi) -> set[str]:
    return set(api.list_repo_files(REPO, repo_type="dataset")) - {".gitattributes"}


def test_what_was_published_reads_back_as_the_same_catalog(
    sample: OpenS2V, publisher: Publisher, api: HfApi, tmp_path: Path
) -> None:
    done = publisher.publish(sample, num_preview_rows=4)
    assert done.commit == publisher.hub.head(REPO)
    assert (done.num_skipped, done.num_deleted) == (0, 0)
    folder = downloaded(api, tmp_path / "copy")
    copy = Catalog.open(folder)
    assert copy.digest == sample.catalog.digest
    problems = [problem for check in verify(copy) for problem in check.problems]
    assert [problem for problem in problems if not problem.startswith("preview/preview.parquet ")] == []
    assert (copy.manifest.source.uri, copy.manifest.source.revision) == (SOURCE, COMMIT)
    assert copy.manifest.source.parts == sample.catalog.manifest.source.parts
    ours = {file.path for file in (*copy.manifest.tables.values(), *copy.manifest.files)}
    extra = {"manifest.json", "README.md", "preview/preview.parquet"}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found - {".gitattributes"} == ours | extra
    assert done.num_uploaded == len(ours | extra)


def test_planning_uploads_nothing_and_says_what_would_be(sample: OpenS2V, publisher: Publisher) -> None:
    plan = publisher.plan(sample, num_preview_rows=2)
    assert (plan.is_new, plan.head, plan.notes) == (True, None, ())
    assert {file.action for file in plan.files} == {"upload"}
    assert [file.path for file in plan.files] == sorted(file.path for file in plan.files)
    assert publisher.hub.counts().upload.num_requests == 0
    assert plan.card.startswith("---\n") and f'data_dir="hf://datasets/{REPO}"' in plan.card


def test_datasets_loads_every_config_from_the_hub(sample: OpenS2V, publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(sample, num_preview_rows=3)
    code = f"""
import json
from datasets import get_dataset_config_names, load_dataset
found = {{}}
for name in get_dataset_config_names({REPO!r}):
    rows = load_dataset({REPO!r}, name, split="train", streaming=True).decode(False)
    found[name] = sum(1 for row in rows)
rows = load_dataset({REPO!r}, split="train", streaming=True).decode(False)
row = next(iter(rows))
found["default"] = [str(type(feature).__name__) for feature in rows.features.values()][:2] + [row["video"]["bytes"][4:8].decode()]
print(json.dumps(found))
"""
    environment = publisher.hub.environment(tmp_path / "home")
    found = json.loads(run_python(code, folder=tmp_path, path=(), **environment).splitlines()[-1])
    assert found.pop("default") == ["Video", "Image", "ftyp"]
    assert found.pop("preview") == 3
    assert found == {name: file.rows for name, file in sample.catalog.manifest.tables.items() if file.rows}


def test_publishing_again_skips_everything_and_makes_no_commit(sample: OpenS2V, publisher: Publisher) -> None:
    first = publisher.publish(sample, num_preview_rows=2)
    publisher.hub.reset_counts()
    second = publisher.publish(sample, num_preview_rows=2)
    assert (second.commit, second.num_uploaded, second.num_skipped) == (first.commit, 0, first.num_uploaded)
    assert publisher.hub.counts().upload.num_requests == 0


def test_the_manifest_comes_last_and_an_interrupted_upload_goes_on(
    sample: OpenS2V, publisher: Publisher, api: HfApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(publish, "COMMIT_FILES", 4)
    seen: list[set[str]] = []

    def stop_at_the_third(stage: str, done: int, total: int) -> None:
        seen.append(names(api))
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upload(publisher.plan(sample), progress=stop_at_the_third)
    assert [len(files) for files in seen] == [0, 4, 8]
    assert not any({"manifest.json", "README.md"} & files for files in seen)
    plan = publisher.plan(sample)
    assert {file.path for file in plan.of("skip")} == seen[-1]
    sent = sum(file.size_bytes for file in plan.of("upload"))
    done = upload(plan)
    assert (done.num_skipped, done.uploaded_bytes) == (8, sent)
    assert Catalog.open(downloaded(api, tmp_path / "copy")).digest == sample.catalog.digest


def test_another_catalog_takes_the_place_of_the_old_one_in_one_commit(
    sample: OpenS2V, many: OpenS2V, publisher: Publisher, api: HfApi, tmp_path: Path
) -> None:
    first = publisher.publish(sample, num_preview_rows=2)
    plan = publisher.plan(many)
    assert any(f"holds another catalog, of digest {sample.catalog.digest}" in text for text in plan.notes)
    gone = {file.path for file in plan.of("delete")}
    assert "preview/preview.parquet" in gone
    seen: list[str] = []
    upload(plan, progress=lambda *step: seen.append(publisher.hub.head(REPO)))
    # Nothing new besides what replaces: all of it is the last commit's.
    assert set(seen) == {first.commit}
    assert Catalog.open(downloaded(api, tmp_path / "new")).digest == many.catalog.digest
    assert not names(api) & gone
    old = Catalog.open(downloaded(api, tmp_path / "old", first.commit))
    assert old.digest == sample.catalog.digest


def test_what_an_upload_that_was_given_up_left_there_is_deleted_and_what_is_not_ours_is_not(
    sample: OpenS2V, publisher: Publisher, api: HfApi
) -> None:
    publisher.publish(sample)
    left = ("masks/masks-00042.bin", "notes.md", "figures.parquet")
    api.create_commit(
        REPO,
        [CommitOperationAdd(name, b"left there" * 200) for name in left],
        commit_message="left",
        repo_type="dataset",
    )
    plan = publisher.plan(sample)
    assert [file.path for file in plan.of("delete", "upload", "replace")] == ["masks/masks-00042.bin"]
    done = upload(plan)
    assert (done.num_deleted, done.num_uploaded) == (1, 0)
    assert names(api) & set(left) == {"notes.md", "figures.parquet"}


def test_progress_ends_at_all_the_bytes(sample: OpenS2V, publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "UPLOAD_FILES", 3)
    seen: list[tuple[str, int, int]] = []
    done = upload(publisher.plan(sample), progress=lambda *step: seen.append(step))
    assert {stage for stage, _, _ in seen} == {"upload"} and len(seen) > 4
    assert [step[1] for step in seen] == sorted(step[1] for step in seen)
    assert seen[-1][1:] == (done.uploaded_bytes, done.uploaded_bytes)


def test_a_repository_that_holds_something_else_is_refused_unless_forced(
    sample: OpenS2V, publisher: Publisher, api: HfApi, tmp_path: Path
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/weights.bin").write_bytes(b"theirs" * 400)
    before = publisher.hub.add_repo(REPO, tmp_path / "theirs")
    with pytest.raises(ValueError, match=r"an empty repository or a catalog at me/cat, found weights\.bin and no"):
        publisher.plan(sample)
    assert publisher.hub.head(REPO) == before
    publisher.publish(sample, force=True)
    assert {"weights.bin", "manifest.json"} <= names(api)


def test_tables_of_another_content_without_a_manifest_are_something_else(
    sample: OpenS2V, publisher: Publisher, tmp_path: Path
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/clips.parquet").write_bytes(b"theirs" * 400)
    (tmp_path / "theirs/manifest.json").write_text('{"files": "theirs"}')
    publisher.hub.add_repo(REPO, tmp_path / "theirs")
    with pytest.raises(ValueError, match=r"found clips\.parquet, manifest\.json and no manifest\.json of a catalog"):
        publisher.plan(sample)


def test_a_damaged_catalog_is_refused_before_anything_is_sent(
    sample: OpenS2V, publisher: Publisher, tmp_path: Path
) -> None:
    root = shutil.copytree(sample.catalog.root, tmp_path / "damaged")
    data = bytearray((root / "clips.parquet").read_bytes())
    data[100] ^= 1
    (root / "clips.parquet").write_bytes(data)
    with pytest.raises(
        CatalogDamagedError, match=r"is damaged, nothing was uploaded: clips\.parquet: expected SHA-256"
    ):
        publisher.plan(opens2v_data.open(root))
    assert publisher.hub.counts().upload.num_requests == 0


def test_a_catalog_that_is_not_whole_is_refused(sample: OpenS2V, publisher: Publisher, tmp_path: Path) -> None:
    dataset = opens2v_data.open(shutil.copytree(sample.catalog.root, tmp_path / "partly"))
    (tmp_path / "partly/masks/masks-00001.bin").unlink()
    with pytest.raises(CatalogError, match=r"expected all 15 files .* 1 are not there: masks/masks-00001\.bin; copy"):
        publisher.plan(dataset)
    assert publisher.hub.counts().api.num_requests == 0


def test_no_path_of_this_machine_is_published(
    sample: OpenS2V, publisher: Publisher, api: HfApi, tmp_path: Path
) -> None:
    folder = sample.catalog.manifest.source.uri
    plan = publisher.plan(sample, source=None)
    assert any("'local:release'" in text and "--source hf://" in text for text in plan.notes)
    upload(plan)
    copy = downloaded(api, tmp_path / "copy")
    assert Catalog.open(copy).manifest.source.uri == "local:release"
    for path in copy.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert folder.encode() not in data and str(sample.catalog.root).encode() not in data, path.name


def test_what_a_manifest_says_of_the_source_has_no_folder_and_no_password(sample: OpenS2V) -> None:
    source = sample.catalog.manifest.source
    part = msgspec.structs.replace(
        source.parts[0], fault="/data/x/release/Videos/a is short", refused=("/data/x/release",)
    )
    local = msgspec.structs.replace(source, uri="/data/x/release", parts=(part,))
    found = published_source(local, None)
    assert (found.uri, found.parts[0].fault, found.parts[0].refused) == (
        "local:release",
        "Videos/a is short",
        ("the release",),
    )
    web = msgspec.structs.replace(source, uri="https://me:word@host:8/release?Signature=abc")
    assert published_source(web, None).uri == "https://host:8/release"
    hub = msgspec.structs.replace(source, uri=SOURCE, revision=COMMIT)
    assert (published_source(hub, None).uri, published_source(hub, None).revision) == (SOURCE, COMMIT)


def test_a_quarantine_that_names_a_path_of_this_machine_is_refused(
    sample: OpenS2V, publisher: Publisher, tmp_path: Path
) -> None:
    root = shutil.copytree(sample.catalog.root, tmp_path / "catalog")
    tree = json.loads((root / "manifest.json").read_bytes())
    tree["source"]["uri"] = "Jsons/mask_and_bbox"  # stands in quarantine.jsonl
    (root / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(
        CatalogError, match=r"quarantine\.jsonl of .* names Jsons/mask_and_bbox, a path of this machine"
    ):
        publisher.plan(opens2v_data.open(root))


def test_a_private_repository_is_made_private_and_a_public_one_is_refused(
    sample: OpenS2V, publisher: Publisher, api: HfApi
) -> None:
    publisher.publish(sample, is_private=True)
    assert api.repo_info(REPO, repo_type="dataset").private is True
    assert publisher.publish(sample, is_private=True).num_uploaded == 0


def test_a_public_repository_does_not_become_private_silently(sample: OpenS2V, publisher: Publisher) -> None:
    publisher.publish(sample)
    with pytest.raises(ValueError, match="me/cat is there and public"):
        publisher.plan(sample, is_private=True)


def test_a_token_that_is_refused_is_told_without_the_token(sample: OpenS2V, publisher: Publisher) -> None:
    word = "".join(["hf_", "nobodys", "word"])  # in pieces, since a traceback shows this line
    with pytest.raises(RemoteError, match=r"cannot be looked at: the Hub answered 401 .*hf auth login") as caught:
        publisher.plan(sample, token=word)
    assert (caught.value.status, caught.value.is_retryable) == (401, False)
    assert word not in "".join(traceback.format_exception(caught.value))


def test_a_token_that_no_header_can_hold_stands_in_no_error(sample: OpenS2V, publisher: Publisher) -> None:
    word = "".join(["hf_", "nobodys", "word"])  # in pieces, since a traceback shows this line
    with pytest.raises(RemoteError, match=r"me/cat cannot be looked at: Illegal header value b'Bearer …") as caught:
        publisher.plan(sample, token=f"{word}\nmore")
    assert word not in "".join(traceback.format_exception(caught.value))


def test_without_a_token_one_can_plan_but_not_upload(
    sample: OpenS2V, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: None)
    monkeypatch.setattr(publisher.hub, "token", None)
    plan = publisher.plan(sample)
    with pytest.raises(RemoteError, match=r"could not be published: .*hf auth login`, or set HF_TOKEN") as caught:
        upload(plan)
    assert caught.value.status == 401


def test_a_repository_that_changed_meanwhile_is_not_written_over(
    sample: OpenS2V, publisher: Publisher, api: HfApi
) -> None:
    publisher.publish(sample)
    plan = publisher.plan(sample, num_preview_rows=2)
    api.create_commit(REPO, [CommitOperationAdd("notes.txt", b"new")], commit_message="in between", repo_type="dataset")
    head = publisher.hub.head(REPO)
    with pytest.raises(RemoteError, match=r"answered 412 .*it changed meanwhile; run the same command again"):
        upload(plan)
    assert publisher.hub.head(REPO) == head
    publisher.publish(sample, num_preview_rows=2)
    assert {"notes.txt", "preview/preview.parquet"} <= names(api)


@pytest.mark.parametrize("kind", ["refused", "busy"])
def test_signed_addresses_stand_neither_in_errors_nor_in_logs(
    sample: OpenS2V,
    publisher: Publisher,
    kind: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = huggingface_hub.lfs._upload_single_part
    signed: list[str] = []

    def put_badly(operation: Any, upload_url: str) -> None:
        signed.append(upload_url)
        if kind == "refused":
            put(operation, f"{upload_url}0")
        else:
            publisher.hub.faults = Faults(p503=1.0, applies_to=frozenset({"upload"}))
            put(operation, upload_url)

    monkeypatch.setattr("huggingface_hub.lfs._upload_single_part", put_badly)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    caplog.set_level(logging.INFO)
    status = {"refused": 403, "busy": 503}[kind]
    with pytest.raises(RemoteError, match=f"me/cat could not be published: the Hub answered {status}") as caught:
        upload(publisher.plan(sample))
    assert (caught.value.status, caught.value.is_retryable) == (status, kind == "busy")
    assert "Signature" not in "".join(traceback.format_exception(caught.value))
    assert signed and all("Signature" in address for address in signed)
    lines = [record.getMessage() for record in caplog.records]
    assert any("PUT http://localhost:" in line for line in lines)
    assert any("thrown while requesting" in line for line in lines) == (kind == "busy")
    assert not [line for line in lines if "Signature" in line]
    assert not any(logging.getLogger(name).filters for name in CLIENT_LOGGERS)


def test_a_hub_that_is_not_there_is_told(sample: OpenS2V, tmp_path: Path, hub: LocalHub) -> None:
    hub.close()
    with pytest.raises(RemoteError, match=r"me/cat cannot be looked at: .*run the same command again"):
        Publisher(hub, tmp_path).plan(sample)


def test_another_branch_is_asked_for_by_name_and_compared_with_main_until_it_is_there(
    sample: OpenS2V, publisher: Publisher
) -> None:
    publisher.publish(sample)
    plan = publisher.plan(sample, branch="next", num_preview_rows=2)
    assert (plan.has_branch, plan.head) == (False, publisher.hub.head(REPO))
    assert {file.path for file in plan.of("upload")} == {"preview/preview.parquet"}
    # The local Hub has no branches; that one was asked for is what it refuses.
    with pytest.raises(RemoteError, match="me/cat could not be published: the Hub answered 404"):
        upload(plan)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_preview_rows": -1}, "num_preview_rows must be 0 or more, got -1"),
        ({"branch": COMMIT}, "expected the name of a branch to publish to"),
        ({"message": " "}, "message of a commit must not be empty"),
        ({"source": "hf://datasets/BestWishYsh/OpenS2V-5M"}, "expected a release at a commit"),
        ({"source": "hf://datasets/BestWishYsh/OpenS2V-5M@main"}, "a branch moves"),
        ({"source": f"{SOURCE}/Videos"}, "expected a release at a commit"),
        ({"source": "./release"}, "expected hf://datasets/OWNER/NAME"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PublishOptions(**options)


@pytest.mark.parametrize("repo_id", ["cat", "me/my/cat", "me/..", "me/a--b", "/cat"])
def test_a_repository_id_that_is_none_is_refused(sample: OpenS2V, repo_id: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"OWNER/NAME|Repo id|repo"):
        plan_publication(sample, repo_id, work=tmp_path, options=PublishOptions(num_preview_rows=0))


def test_a_preview_without_something_that_draws_it_is_refused(sample: OpenS2V, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a function that draws it"):
        plan_publication(sample, REPO, work=tmp_path)


def test_a_preview_that_is_shorter_than_wanted_is_noted(sample: OpenS2V, publisher: Publisher) -> None:
    plan = publisher.plan(sample, num_preview_rows=400)
    assert any("clips of 400 wanted" in text for text in plan.notes)
    assert any(text.startswith("1 clips could not be shown; the first, clip 19: ") for text in plan.notes)
    assert replace(plan, notes=()).of("upload")
