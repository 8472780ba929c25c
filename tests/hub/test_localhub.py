"""The local Hub, asked by the real clients where they have an opinion and by plain HTTP elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, IncompleteRead, RemoteDisconnected
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.utils import parse_ratelimit_headers

from hub.loading import run_python
from localhub import Faults, LocalHub

if TYPE_CHECKING:
    from collections.abc import Iterator

REPO = "owner/release"
BIG = bytes(range(256)) * 800  # 204,800 bytes: more than one socket's worth of small reads
PREAMBLE = """
import json
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download
api = HfApi()
def error_of(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "none"
"""


class Answer:
    """A response of one request, read to its end."""

    def __init__(self, url: str, method: str = "GET", *, body: bytes | None = None, **headers: str) -> None:
        parts = urlsplit(url)
        connection = HTTPConnection(parts.netloc, timeout=200)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            self.status = response.status
            self.headers = {name.lower(): value for name, value in response.getheaders()}
            self.body = response.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of 123 files in three folders."""
    root = tmp_path_factory.mktemp("localhub") / "release"
    (root / "Videos/deep").mkdir(parents=True)
    (root / "README.md").write_text("---\nlicense: mit\n---\nhello\n")
    (root / "Videos/big.bin").write_bytes(BIG)
    (root / "Videos/deep/name with ü & space.bin").write_bytes(BIG[:5000])
    for number in range(120):
        (root / f"Videos/{number:03}.bin").write_bytes(number.to_bytes(2, "big") * 1000)
    return root


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[LocalHub]:
    with LocalHub({REPO: folder}) as hub:
        hub.add_repo("owner/private", folder, private=True)
        yield hub


@pytest.fixture
def hub(shared: LocalHub) -> Iterator[LocalHub]:
    """The module's server, sound and with counts from zero."""
    shared.reset_counts()
    yield shared
    shared.faults = Faults()


def resolve_url(hub: LocalHub, path: str, *, repo: str = REPO, revision: str = "main") -> str:
    return f"{hub.endpoint}/datasets/{repo}/resolve/{revision}/{path}"


def signed_url(hub: LocalHub, path: str = "Videos/big.bin") -> str:
    return Answer(resolve_url(hub, path), "HEAD").headers["location"]


def in_client(hub: LocalHub, tmp_path: Path, code: str, *, with_token: bool = False) -> Any:
    """Run code under huggingface_hub in a process of its own; return the JSON it prints."""
    variables: dict[str, Any] = hub.environment(tmp_path / "hf", with_token=with_token)
    return json.loads(run_python(PREAMBLE + code, folder=tmp_path, **variables).splitlines()[-1])


def test_the_real_client_lists_downloads_and_reads_ranges(hub: LocalHub, folder: Path, tmp_path: Path):
    code = f"""
info = api.dataset_info({REPO!r}, files_metadata=True)
entries = list(api.list_repo_tree({REPO!r}, repo_type="dataset", recursive=True, revision=info.sha))
name = "Videos/deep/name with ü & space.bin"
paths = [hf_hub_download({REPO!r}, path, repo_type="dataset", revision=info.sha) for path in ("README.md", name)]
fs = HfFileSystem()
print(json.dumps(dict(
    sha=info.sha, siblings=[[s.rfilename, s.size, s.lfs and s.lfs.sha256] for s in info.siblings],
    entries=[[e.path, getattr(e, "size", None), e.lfs.sha256 if getattr(e, "lfs", None) else None] for e in entries],
    downloads=[list(open(path, "rb").read()) for path in paths],
    range=list(fs.cat_file("datasets/{REPO}/Videos/big.bin", start=1000, end=1010)),
    last=list(fs.cat_file("datasets/{REPO}@" + info.sha + "/" + name, start=-3)),
    refs=[[b.name, b.target_commit] for b in api.list_repo_refs({REPO!r}, repo_type="dataset").branches],
    commits=[c.commit_id for c in api.list_repo_commits({REPO!r}, repo_type="dataset")],
    paths=[[p.path, type(p).__name__] for p in api.get_paths_info(
        {REPO!r}, ["Videos", "Videos/big.bin", "none"], repo_type="dataset", expand=True)],
    me=api.whoami()["name"],
)))
"""
    found = in_client(hub, tmp_path, code, with_token=True)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    facts = [[n, len(d), hashlib.sha256(d).hexdigest() if len(d) >= 1000 else None] for n, d in sorted(files.items())]
    assert found["sha"] == hub.head(REPO)
    assert found["siblings"] == facts
    assert [entry for entry in found["entries"] if entry[1] is not None] == facts
    assert [entry[0] for entry in found["entries"] if entry[1] is None] == ["Videos", "Videos/deep"]
    assert [bytes(data) for data in found["downloads"]] == [(folder / "README.md").read_bytes(), BIG[:5000]]
    assert bytes(found["range"]) == BIG[1000:1010]
    assert bytes(found["last"]) == BIG[4997:5000]
    assert found["refs"] == [["main", found["sha"]]]
    assert found["commits"] == [found["sha"]]
    assert found["paths"] == [["Videos", "RepoFolder"], ["Videos/big.bin", "RepoFile"]]
    assert found["me"] == "tester"
    counts = hub.counts()
    assert counts.tree.num_requests >= 3  # 125 entries in pages of 50, and what HfFileSystem lists by itself
    assert counts.cdn_with_token == 0 and counts.cdn.num_requests == 3


def test_errors_are_those_that_the_real_client_names(hub: LocalHub, tmp_path: Path):
    code = f"""
print(json.dumps([
    error_of(lambda: api.dataset_info("owner/none")),
    error_of(lambda: api.dataset_info({REPO!r}, revision="none")),
    error_of(lambda: hf_hub_download({REPO!r}, "none.bin", repo_type="dataset")),
    error_of(lambda: list(api.list_repo_tree({REPO!r}, "none", repo_type="dataset"))),
    error_of(lambda: api.model_info({REPO!r})),
    error_of(lambda: api.dataset_info("owner/private")),
    error_of(lambda: api.dataset_info("owner/private", token="hf_wrong")),
]))
"""
    missing, revision, entry = "RepositoryNotFoundError", "RevisionNotFoundError", "RemoteEntryNotFoundError"
    expected = [missing, revision, entry, entry, missing, missing, "HfHubHTTPError"]
    assert in_client(hub, tmp_path, code) == expected


def test_a_private_repository_opens_to_the_token_which_never_reaches_the_second_host(hub: LocalHub, tmp_path: Path):
    code = """
path = hf_hub_download("owner/private", "Videos/big.bin", repo_type="dataset")
print(json.dumps([len(open(path, "rb").read()), HfFileSystem().info("datasets/owner/private/Videos/007.bin")["size"]]))
"""
    assert in_client(hub, tmp_path, code, with_token=True) == [len(BIG), 2000]
    assert hub.counts().cdn.num_requests == 1
    assert hub.counts().cdn_with_token == 0
    url = resolve_url(hub, "Videos/big.bin", repo="owner/private")
    refused = Answer(url)
    assert (refused.status, refused.headers["x-error-code"]) == (401, "RepoNotFound")
    assert Answer(url, Authorization=f"Bearer {hub.token}").status == 302


def test_a_token_that_reaches_the_second_host_is_counted(hub: LocalHub):
    Answer(signed_url(hub), Range="bytes=0-1", Authorization=f"Bearer {hub.token}")
    assert hub.counts().cdn_with_token == 1


def test_an_uploaded_folder_is_read_back_and_earlier_commits_stay(tmp_path: Path):
    upload = tmp_path / "upload"
    (upload / "data").mkdir(parents=True)
    (upload / "README.md").write_text("---\nlicense: mit\n---\n")
    (upload / "data/a.bin").write_bytes(BIG)
    (upload / "data/empty").touch()
    code = f"""
repo = dict(repo_id="tester/new", repo_type="dataset")
url = api.create_repo(**repo, private=True)
api.create_repo(**repo, exist_ok=True)
twice = error_of(lambda: api.create_repo(**repo))
first = api.upload_folder(folder_path={str(upload)!r}, **repo)
again = api.upload_folder(folder_path={str(upload)!r}, **repo)
second = api.upload_file(path_or_fileobj=b"changed", path_in_repo="data/a.bin", parent_commit=first.oid, **repo)
late = error_of(lambda: api.upload_file(path_or_fileobj=b"x", path_in_repo="b", parent_commit=first.oid, **repo))
api.delete_file("data/empty", **repo)
read = lambda rev: open(hf_hub_download(filename="data/a.bin", revision=rev, **repo), "rb").read()
print(json.dumps(dict(
    url=str(url), twice=twice, first=first.oid, again=again.oid, private=api.dataset_info("tester/new").private,
    files=api.list_repo_files(**repo), old=len(read(first.oid)), new=read("main").decode(), late=late,
    old_files=api.list_repo_files(revision=first.oid, **repo),
)))
"""
    with LocalHub(tmp_path / "objects") as hub:
        found = in_client(hub, tmp_path, code, with_token=True)
        stranger = in_client(hub, tmp_path, 'print(json.dumps(error_of(lambda: api.create_repo("tester/other"))))')
        assert found["url"] == f"{hub.endpoint}/datasets/tester/new"
        counts = hub.counts()
        head = hub.head("tester/new")
    assert found["first"] == found["again"] != head
    assert found["private"] is True
    assert found["files"] == [".gitattributes", "README.md", "data/a.bin"]
    assert found["old_files"] == [".gitattributes", "README.md", "data/a.bin", "data/empty"]
    assert (found["old"], found["new"]) == (len(BIG), "changed")
    assert (found["twice"], found["late"]) == ("HfHubHTTPError", "HfHubHTTPError")
    assert stranger == "HfHubHTTPError"
    assert (tmp_path / "objects" / hashlib.sha256(BIG).hexdigest()).read_bytes() == BIG
    assert counts.upload.statuses[409] == 2 and counts.upload.statuses[412] == 1 and counts.upload.statuses[401] == 1
    assert counts.cdn_with_token == 0


def test_an_object_that_is_not_what_was_announced_is_refused(tmp_path: Path):
    with LocalHub(tmp_path) as hub:
        bearer = {"Authorization": f"Bearer {hub.token}"}
        made = Answer(f"{hub.endpoint}/api/repos/create", "POST", body=b'{"name": "new", "type": "dataset"}', **bearer)
        assert made.status == 200
        batch_url = f"{hub.endpoint}/datasets/tester/new.git/info/lfs/objects/batch"
        asked = {"objects": [{"oid": hashlib.sha256(BIG).hexdigest(), "size": len(BIG)}]}
        batch = json.loads(Answer(batch_url, "POST", body=json.dumps(asked).encode(), **bearer).body)
        url = batch["objects"][0]["actions"]["upload"]["href"]
        assert Answer(url, "PUT", body=b"other").status == 400
        assert Answer(url, "PUT", body=BIG).status == 200
        climbing = json.dumps({"objects": [{"oid": "../../x", "size": 1}]}).encode()
        assert Answer(batch_url, "POST", body=climbing, **bearer).status == 400


def test_datasets_streams_a_repository(tmp_path: Path):
    release = tmp_path / "tables"
    release.mkdir()
    pq.write_table(pa.table({"number": list(range(500))}), release / "train-0.parquet")
    code = """
from datasets import load_dataset
print([row["number"] for row in load_dataset("owner/tables", split="train", streaming=True)])
"""
    with LocalHub() as hub:
        hub.add_repo("owner/tables", release, private=True)
        variables: dict[str, Any] = hub.environment(tmp_path / "hf", with_token=True)
        assert json.loads(run_python(code, folder=tmp_path, **variables)) == list(range(500))
        assert hub.counts().cdn.num_requests > 0
        assert hub.counts().cdn_with_token == 0


def test_resolve_says_commit_size_and_hash_and_points_at_another_host(hub: LocalHub):
    answer = Answer(resolve_url(hub, "Videos/big.bin"), "HEAD")
    assert answer.status == 302 and answer.body == b""
    assert answer.headers["x-repo-commit"] == hub.head(REPO)
    assert answer.headers["x-linked-size"] == str(len(BIG))
    assert answer.headers["x-linked-etag"] == f'"{hashlib.sha256(BIG).hexdigest()}"'
    here, there = urlsplit(hub.endpoint), urlsplit(answer.headers["location"])
    assert here.hostname != there.hostname and here.port != there.port
    assert Answer(answer.headers["location"]).body == BIG


def test_a_small_file_is_answered_at_once_or_by_a_redirect_on_the_same_host(
    hub: LocalHub, folder: Path, tmp_path: Path
):
    text = (folder / "README.md").read_bytes()
    direct = Answer(resolve_url(hub, "README.md"), Range="bytes=4-10")
    assert (direct.status, direct.body) == (206, text[4:11])
    with LocalHub({REPO: folder}, redirect_small_files=True) as other:
        redirected = Answer(resolve_url(other, "README.md"))
        assert redirected.status == 307
        location = redirected.headers["location"]
        assert location == f"/api/resolve-cache/datasets/{REPO}/{other.head(REPO)}/README.md"
        assert Answer(other.endpoint + location).body == text
        code = f'print(json.dumps(open(hf_hub_download({REPO!r}, "README.md", repo_type="dataset")).read()))'
        assert in_client(other, tmp_path, code) == text.decode()


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=-999999", slice(None)),
        ("bytes=204000-999999", slice(204000, None)),
    ],
)
def test_a_range_gives_those_bytes(hub: LocalHub, asked: str, span: slice):
    answer = Answer(signed_url(hub), Range=asked)
    start, end, _ = span.indices(len(BIG))
    assert answer.status == 206
    assert answer.body == BIG[span]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(BIG)}"


@pytest.mark.parametrize("asked", [f"bytes={len(BIG)}-", "bytes=-0"])
def test_a_range_outside_the_file_is_416(hub: LocalHub, asked: str):
    answer = Answer(signed_url(hub), Range=asked)
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{len(BIG)}")


@pytest.mark.parametrize("asked", ["bytes=5-1", "bytes=0-1,3-4", "lines=1-2", "bytes=-"])
def test_what_is_no_single_range_is_the_whole_file(hub: LocalHub, asked: str):
    assert Answer(signed_url(hub), Range=asked).body == BIG


def test_an_address_cannot_be_changed(folder: Path):
    with LocalHub({REPO: folder}, url_lifetime_seconds=600.5) as hub:
        url = signed_url(hub)
        assert Answer(url, Range="bytes=0-1").status == 206
        assert Answer(url.replace("Signature=", "Signature=0")).status == 403
        expires = url.split("Expires=")[1].split("&")[0]
        assert Answer(url.replace(expires, str(float(expires) + 100))).status == 403
        assert hub.counts().cdn.statuses == {206: 1, 403: 2}


def test_an_address_expires(folder: Path):
    with LocalHub({REPO: folder}, url_lifetime_seconds=0.01) as hub:
        url = signed_url(hub)
        expires = url.split("Expires=")[1].split("&")[0]
        time.sleep(max(0.0, float(expires) - time.time()) + 0.01)
        expired = Answer(url)
        assert expired.status == 403 and b"expired" in expired.body


def test_a_quota_refuses_with_the_headers_that_the_real_client_reads(folder: Path):
    with LocalHub({REPO: folder}, resolve_quota=(3, 3600.0)) as hub:
        url = resolve_url(hub, "Videos/big.bin")
        answers = [Answer(url, "HEAD") for _ in range(5)]
        assert [answer.status for answer in answers] == [302, 302, 302, 429, 429]
        limits = [parse_ratelimit_headers(answer.headers) for answer in answers]
        assert [limit and limit.remaining for limit in limits] == [2, 1, 0, 0, 0]
        assert limits[0]
        assert (limits[0].resource_type, limits[0].limit, limits[0].window_seconds) == ("resolvers", 3, 3600)
        assert 3000 < int(answers[3].headers["retry-after"]) <= 3600 and "retry-after" not in answers[2].headers


def test_a_quota_is_given_anew_after_its_window(folder: Path):
    with LocalHub({REPO: folder}, resolve_quota=(1, 1.0)) as hub:
        url = resolve_url(hub, "Videos/big.bin")
        assert Answer(url, "HEAD").status == 302
        time.sleep(1.0)
        assert Answer(url, "HEAD").status == 302


def test_the_real_client_waits_for_the_quota_and_goes_on(folder: Path, tmp_path: Path):
    code = f"""
fs = HfFileSystem()
print(json.dumps([len(fs.cat_file(f"datasets/{REPO}/Videos/{{n:03}}.bin")) for n in range(3)]))
"""
    # A client that is slow, or stands still, is past the end of a short window with its third call: then a longer one.
    for window_seconds in (1.0, 5.0, 25.0):
        with LocalHub({REPO: folder}, resolve_quota=(2, window_seconds)) as hub:
            assert in_client(hub, tmp_path, code) == [2000, 2000, 2000]
            statuses = hub.counts().resolve.statuses
        if statuses != {302: 3}:
            break
    assert statuses == {302: 3, 429: 1}


def test_a_cut_connection_ends_inside_the_body_or_before_the_headers(hub: LocalHub):
    url = signed_url(hub)
    hub.reset_counts()
    hub.faults = Faults(p_cut=1.0, seed=3)
    with pytest.raises(IncompleteRead, match=r"IncompleteRead\(\d+ bytes read, \d+ more expected\)") as cut:
        Answer(url)
    with pytest.raises(RemoteDisconnected, match="without response"):
        Answer(resolve_url(hub, "Videos/big.bin"), "HEAD")
    counts = hub.counts()
    assert cut.value.partial == BIG[: len(cut.value.partial)]
    assert counts.cdn.num_bytes == len(cut.value.partial) < len(BIG)
    assert counts.resolve.statuses == {0: 1}


def test_faults_come_as_often_as_asked_and_the_same_for_the_same_seed(hub: LocalHub):
    url = signed_url(hub)

    def statuses(faults: Faults) -> list[int]:
        hub.faults = faults
        return [Answer(url, Range="bytes=0-9").status for _ in range(200)]

    faults = Faults(p503=0.2, p429=0.1, seed=7)
    first = statuses(faults)
    assert first == statuses(faults)
    assert first != statuses(Faults(p503=0.2, p429=0.1, seed=8))
    assert 20 <= first.count(503) <= 60 and 8 <= first.count(429) <= 36
    assert first.count(206) == 200 - first.count(503) - first.count(429)


def test_a_refusal_says_when_to_come_back_and_only_chosen_routes_are_faulty(hub: LocalHub):
    hub.faults = Faults(p429=1.0, retry_after_seconds=2, applies_to=frozenset({"cdn"}))
    answer = Answer(signed_url(hub))
    assert (answer.status, answer.headers["retry-after"]) == (429, "2")
    with pytest.raises(ValueError, match="applies_to names \\['nowhere'\\]; the routes are api, tree"):
        Faults(applies_to=frozenset({"nowhere"}))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="p503 must be between 0 and 1, got 5"):
        Faults(p503=5)


def test_a_wrong_length_is_a_shorter_range_whose_headers_agree(hub: LocalHub):
    url = signed_url(hub)
    hub.faults = Faults(p_wrong_length=1.0)
    for start in range(0, 5000, 1000):
        answer = Answer(url, Range=f"bytes={start}-{start + 999}")
        assert answer.status == 206
        assert 1 <= len(answer.body) < 1000
        assert answer.body == BIG[start : start + len(answer.body)]
        assert answer.headers["content-range"] == f"bytes {start}-{start + len(answer.body) - 1}/{len(BIG)}"
    hub.faults = Faults(p_whole_file=1.0)
    whole = Answer(url, Range="bytes=0-9")
    assert (whole.status, whole.body) == (200, BIG)


def test_latency_slowness_and_bandwidth_are_felt(hub: LocalHub):
    url = signed_url(hub)

    def seconds(faults: Faults) -> float:
        hub.faults = faults
        started = time.monotonic()
        assert Answer(url, Range="bytes=0-19999").body == BIG[:20000]
        return time.monotonic() - started

    assert seconds(Faults(latency_seconds=0.2)) >= 0.2
    assert seconds(Faults(slow_fraction=1.0, slow_seconds=0.2)) >= 0.2
    assert seconds(Faults(bandwidth_bytes_per_second=100_000)) >= 0.2


def test_counts_are_exact(hub: LocalHub):
    url = signed_url(hub)
    Answer(resolve_url(hub, "none.bin"), "HEAD")
    for length in (1, 1000, 70000):
        Answer(url, Range=f"bytes=10-{9 + length}")
    tree = Answer(f"{hub.endpoint}/api/datasets/{REPO}/tree/main")
    info = Answer(f"{hub.endpoint}/api/datasets/{REPO}")
    counts = hub.counts()
    assert (counts.cdn.num_requests, counts.cdn.num_bytes) == (3, 71001)
    assert (counts.resolve.num_requests, counts.resolve.num_bytes) == (2, 0)
    assert counts.resolve.statuses == {302: 1, 404: 1}
    assert (counts.tree.num_requests, counts["tree"].num_bytes) == (1, len(tree.body))
    assert (counts.api.num_requests, counts.api.num_bytes) == (1, len(info.body))
    assert counts.upload.num_requests == 0
    hub.reset_counts()
    assert hub.counts().cdn.num_requests == 0


def test_requests_in_flight_are_counted_at_their_highest(hub: LocalHub):
    url = signed_url(hub)
    # Where threads come late the first has been answered before the last asks: then all wait for longer.
    for latency_seconds in (0.5, 3.0, 20.0):
        hub.faults = Faults(latency_seconds=latency_seconds)
        with ThreadPoolExecutor(12) as pool:
            bodies = list(pool.map(lambda n: Answer(url, Range=f"bytes={n}-{n + 999}").body, range(12)))
        assert bodies == [BIG[n : n + 1000] for n in range(12)]
        if hub.counts().cdn.max_concurrent == 12:
            break
    assert hub.counts().cdn.max_concurrent == 12


def test_a_listing_comes_in_pages_that_hold_every_entry_once(folder: Path):
    with LocalHub({REPO: folder}, page_size=7) as hub:
        url: str | None = f"{hub.endpoint}/api/datasets/{REPO}/tree/main/Videos?recursive=true&expand=false"
        names: list[str] = []
        while url:
            answer = Answer(url)
            names += [entry["path"] for entry in json.loads(answer.body)]
            link = answer.headers.get("link")
            url = link and link[1 : link.index(">")]
        assert names == sorted({p.relative_to(folder).as_posix() for p in (folder / "Videos").rglob("*")})
        assert hub.counts().tree.num_requests == 18  # 123 entries


def test_move_makes_a_new_commit_and_keeps_the_old_one(folder: Path, tmp_path: Path):
    (tmp_path / "next").mkdir()
    (tmp_path / "next/only.txt").write_text("new")
    with LocalHub() as hub:
        first = hub.add_repo(REPO, folder)
        second = hub.move(REPO, tmp_path / "next")
        third = hub.move(REPO, tmp_path / "next")
        assert len({first, second, third}) == 3 and hub.head(REPO) == third
        assert Answer(resolve_url(hub, "only.txt")).headers["x-repo-commit"] == third
        assert Answer(resolve_url(hub, "only.txt", revision=first)).headers["x-error-code"] == "EntryNotFound"
        assert Answer(resolve_url(hub, "Videos/big.bin", revision=first), "HEAD").status == 302


def test_a_folder_whose_contents_are_not_hashed_is_served_all_the_same(folder: Path):
    with LocalHub() as hub:
        hub.add_repo(REPO, folder, hash_contents=False)
        answer = Answer(resolve_url(hub, "Videos/big.bin"), "HEAD")
        assert answer.headers["x-linked-etag"] != f'"{hashlib.sha256(BIG).hexdigest()}"'
        assert Answer(answer.headers["location"]).body == BIG


def test_a_callers_mistake_is_said_and_the_server_goes_on(hub: LocalHub, folder: Path):
    with pytest.raises(ValueError, match=f"{REPO} is there already; move"):
        hub.add_repo(REPO, folder)
    with pytest.raises(ValueError, match=r"expected a folder at .*none, found none"):
        hub.add_repo("owner/other", folder / "none")
    with pytest.raises(ValueError, match="no repository owner/other"):
        hub.head("owner/other")
    with pytest.raises(ValueError, match="expected owner/name, found 'plain'"):
        hub.add_repo("plain", folder)
    assert Answer(resolve_url(hub, "README.md")).status == 200


def test_a_client_that_breaks_off_or_talks_nonsense_does_not_stop_the_server(hub: LocalHub):
    port = urlsplit(hub.endpoint).port
    for data in (b"GET", b"nonsense\r\n\r\n", b"POST /api/validate-yaml HTTP/1.1\r\nContent-Length: 99\r\n\r\nshort"):
        with socket.create_connection(("127.0.0.1", port), timeout=100) as sock:
            sock.sendall(data)
    assert Answer(resolve_url(hub, "README.md")).status == 200


@pytest.mark.parametrize("ending", ["close", "kill"])
def test_the_server_ends_with_its_owner(ending: str):
    code = """
import sys
from localhub import LocalHub
with LocalHub() as hub:
    print(hub.process_id, flush=True)
    sys.stdin.read()
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    owner = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout and owner.stdin
        # Its port would not do: another server may have it by then.
        server = psutil.Process(int(owner.stdout.readline()))
        assert server.is_running()
        if ending == "kill":
            owner.send_signal(signal.SIGKILL)
        owner.stdin.close()
        owner.wait(timeout=100)
    give_up_at = time.monotonic() + 100
    while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < give_up_at, "the server outlives its owner"
        time.sleep(0.02)
