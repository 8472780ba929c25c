"""A catalog on the Hub against the same one in a folder: the same answers, and how many requests and bytes they cost."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from catalog.regrouping import CLIPS_PER_PART, GROUP_ROWS, NUM_CLIPS, make_many_groups, regroup
from localhub import Faults, LocalHub
from opens2v_data.archive.http import HttpOptions
from opens2v_data.catalog import ranges
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.lookup import find_catalog, set_default_catalog
from opens2v_data.dataset import OpenS2V
from opens2v_data.errors import CatalogDamagedError, CatalogNotFoundError, QueryError, RemoteError
from opens2v_data.query import Query
from opens2v_data.rows import iter_rows
from opens2v_data.triples import VideoRef

pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
pytest.importorskip("obstore", reason="the extra hub is not installed")

ADDRESS = "hf://datasets/me/catalog"
SPREAD = [5, 500, 901, 1300, 1700, 2101, 2900, 3199]
"""Clips of eight row groups."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_many_groups(tmp_path_factory.mktemp("remote"))


@pytest.fixture(scope="module")
def local(root: Path) -> Catalog:
    return Catalog.open(root)


@pytest.fixture
def hub(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    with LocalHub({"me/catalog": root}) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
        yield server


@pytest.fixture
def remote(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """The catalog on the Hub, opened, with counts at zero; no table is so small that it is read whole."""
    monkeypatch.setattr(ranges, "WHOLE_BYTES", 0)
    catalog = Catalog.open(ADDRESS)
    hub.reset_counts()
    return catalog


def footer_bytes(root: Path, table: str) -> int:
    """Return the length of a table's footer."""
    return pq.read_metadata(root / f"{table}.parquet").serialized_size + 8


def group_bytes(root: Path, table: str) -> int:
    """Return the length of a table's longest row group."""
    footer = pq.read_metadata(root / f"{table}.parquet")
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    return max(sum(group.column(n).total_compressed_size for n in range(group.num_columns)) for group in groups)


def comparable(rows: Any) -> list[dict[str, Any]]:
    """Return rows without the place of the catalog, which addresses of videos hold."""
    found = []
    for row in rows:
        address = row["video_path"]
        tail = None if address is None else address.partition("://")[2].partition("/")[2]
        found.append({**row, "video": tail, "video_path": tail})
    return found


# -- opening -----------------------------------------------------------------------------------------------------------


def test_opening_reads_the_manifest_and_a_listing_and_no_other_file(hub: LocalHub, root: Path) -> None:
    catalog = Catalog.open(ADDRESS)
    counts = hub.counts()
    assert (counts.resolve.num_requests, counts.cdn.num_requests) == (1, 1)
    assert counts.cdn.num_bytes == (root / "manifest.json").stat().st_size
    assert counts.tree.num_requests == 1 and counts.api.num_requests <= 2
    assert catalog.uri == f"{ADDRESS}@{hub.head('me/catalog')}"
    assert repr(catalog) == f"Catalog('{catalog.uri}', clips={NUM_CLIPS}, subjects=3198, pairs=800, views=160)"


def test_a_query_that_is_not_asked_costs_nothing(remote: Catalog, hub: LocalHub) -> None:
    query = Query(remote)
    assert query.count() == NUM_CLIPS
    assert query.shards(rows=1000) == [(0, 1000), (1000, 2000), (2000, 3000), (3000, 4000)]
    assert [len(ids) for ids in query.row_ids(lo=10, limit=50)] == [50]
    counts = hub.counts()
    assert (counts.resolve.num_requests, counts.cdn.num_requests) == (0, 0)


@pytest.mark.parametrize("name", ["subjects.parquet", "masks/masks-00000.bin"])
def test_a_file_that_is_missing_or_of_another_size_is_named(
    hub: LocalHub, root: Path, tmp_path: Path, name: str
) -> None:
    broken = shutil.copytree(root, tmp_path / "broken")
    size = (broken / name).stat().st_size
    with (broken / name).open("ab") as file:
        file.write(b"x")
    hub.add_repo("me/longer", broken)
    with pytest.raises(
        CatalogDamagedError, match=rf"expected {size} bytes in hf://.*@.*/{name}, found {size + 1}; copy"
    ):
        Catalog.open("hf://datasets/me/longer")
    (broken / name).unlink()
    hub.move("me/longer", broken)
    with pytest.raises(CatalogDamagedError, match=rf"expected {size} bytes in hf://.*/{name}, found no file; copy"):
        Catalog.open("hf://datasets/me/longer")


def test_a_repository_that_is_no_catalog_says_so(hub: LocalHub, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("something else")
    hub.add_repo("me/other", tmp_path)
    with pytest.raises(
        CatalogNotFoundError, match=r"expected a catalog \(manifest.json\) at hf://datasets/me/other@.*publish"
    ):
        Catalog.open("hf://datasets/me/other")


@pytest.mark.parametrize("path", ["../../outside.parquet", "/etc/clips.parquet", "masks/../../x.bin"])
def test_a_manifest_that_names_files_elsewhere_is_refused(hub: LocalHub, root: Path, tmp_path: Path, path: str) -> None:
    evil = shutil.copytree(root, tmp_path / "evil")
    manifest = json.loads((evil / "manifest.json").read_text())
    manifest["tables"]["clips"]["path"] = path
    (evil / "manifest.json").write_text(json.dumps(manifest))
    hub.add_repo("me/evil", evil)
    for place in ("hf://datasets/me/evil", evil):
        with pytest.raises(CatalogDamagedError, match=r"names a file '.*', which is refused: it (climbs|is absolute)"):
            Catalog.open(place)


def test_a_remote_catalog_has_no_folder_and_says_how_to_get_one(remote: Catalog) -> None:
    with pytest.raises(
        CatalogNotFoundError, match=rf"{remote.uri} lies on a server; copy it first: opens2v copy hf://"
    ):
        _ = remote.root


# -- what questions cost -----------------------------------------------------------------------------------------------


def test_a_narrow_condition_opens_few_row_groups(remote: Catalog, local: Catalog, root: Path, hub: LocalHub) -> None:
    where = f"tech > {1 + (CLIPS_PER_PART - 20) / 100}"  # the end of each part: two or three row groups of a hundred
    ids = [row for some in Query(remote).row_ids(where=where) for row in some.tolist()]
    assert ids == [row for some in Query(local).row_ids(where=where) for row in some.tolist()]
    assert len(ids) == 38
    counts = hub.counts()
    assert counts.resolve.num_requests == 1  # clips alone
    # the footer, and one stretch for each row group
    assert counts.cdn.num_requests <= 2 + 4
    assert counts.cdn.num_bytes <= 1.4 * footer_bytes(root, "clips") + 4 * group_bytes(root, "clips")


def test_a_second_question_reads_no_footer_again(remote: Catalog, root: Path, hub: LocalHub) -> None:
    query = Query(remote)
    query.count(where="clip_id BETWEEN 500 AND 520")
    query.columns("regular")
    hub.reset_counts()
    assert query.count(where="clip_id BETWEEN 1510 AND 1530") == 21
    counts = hub.counts()
    assert (counts.resolve.num_requests, counts.cdn.num_requests) == (0, 1)
    assert counts.cdn.num_bytes <= group_bytes(root, "clips")
    hub.reset_counts()
    assert query.count(where="clip_id BETWEEN 1510 AND 1530") == 21
    assert hub.counts().cdn.num_requests == 0


@pytest.mark.parametrize(
    ("config", "where", "tables"),
    [
        ("regular", "aesthetic > 5", {"clips"}),
        ("regular", "has_tag(background_tags, 'park')", {"clips"}),
        ("regular", "HAS_SUBJECT(clip_id, 'woman')", {"clips", "class_index", "classes"}),
        ("regular", "clip_id IN (SELECT clip_id FROM Captions)", {"clips", "captions"}),
        ("nexus-cross", None, {"pairs"}),
        ("nexus-gpt", None, {"clips", "views", "classes"}),
    ],
)
def test_only_tables_that_a_question_names_are_opened(
    remote: Catalog, local: Catalog, hub: LocalHub, config: Any, where: str | None, tables: set[str]
) -> None:
    assert Query(remote).count(config, where) == Query(local).count(config, where)
    # every file that is read is resolved once
    assert hub.counts().resolve.num_requests == len(tables)


@pytest.mark.parametrize("name", ["clips", "subjects"])
def test_rows_of_a_few_ids_open_the_row_groups_that_hold_them(
    remote: Catalog, local: Catalog, root: Path, hub: LocalHub, name: str
) -> None:
    query = Query(remote)
    query.fetch(name, [])  # footers
    hub.reset_counts()
    assert query.fetch(name, SPREAD).equals(Query(local).fetch(name, SPREAD))
    tables = ["clips", "captions", "locations"] if name == "clips" else ["subjects"]
    # rows of subjects do not end where clips do, hence two row groups an id
    allowed = sum((1 + (name == "subjects")) * len(SPREAD) * group_bytes(root, table) for table in tables)
    assert 0 < hub.counts().cdn.num_bytes <= allowed
    everything = sum((root / f"{table}.parquet").stat().st_size - footer_bytes(root, table) for table in tables)
    assert allowed < everything / 4


def test_rows_that_come_in_small_batches_read_each_row_group_once(remote: Catalog, root: Path, hub: LocalHub) -> None:
    data = OpenS2V(remote)
    data.query.fetch("clips", [])
    data.query.fetch("subjects", [])  # footers
    hub.reset_counts()
    num_rows = 10 * GROUP_ROWS
    columns = ["clip_id", "caption", "num_subjects"]
    batches = list(iter_rows(data.query, data.media, columns=columns, hi=num_rows, batch_rows=4))
    assert [len(batch) for batch in batches] == [4] * (num_rows // 4)
    # of these rows there are 10, 20 and 3 row groups
    allowed = 10 * group_bytes(root, "clips") + 20 * group_bytes(root, "captions") + 4 * group_bytes(root, "locations")
    assert hub.counts().cdn.num_bytes <= 1.1 * allowed
    assert hub.counts().resolve.num_requests == 0
    remote.reader._keep_bytes = 0
    remote.reader._kept.clear()
    hub.reset_counts()
    list(iter_rows(data.query, data.media, columns=columns, hi=num_rows, batch_rows=4))
    assert hub.counts().cdn.num_bytes > 3 * allowed  # so it is what is kept that makes the difference


def test_rows_in_order_read_each_row_group_once(remote: Catalog, local: Catalog, root: Path, hub: LocalHub) -> None:
    columns = ["clip_id", "caption", "subjects", "video_path", "video"]
    found = comparable(OpenS2V(remote).rows(columns=columns))
    assert found == comparable(OpenS2V(local).rows(columns=columns))
    tables = ("clips", "captions", "locations", "backgrounds", "subjects", "classes", "masks")
    paths = [root / f"{table}.parquet" for table in tables]
    blobs = sum(path.stat().st_size for path in root.glob("masks/*.bin"))
    assert hub.counts().cdn.num_bytes <= 1.2 * (sum(path.stat().st_size for path in paths) + blobs)


def test_masks_of_a_few_clips_cost_a_range_each(
    remote: Catalog, local: Catalog, root: Path, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "MERGE_GAP_BYTES", 0)
    masks = remote.read_masks(SPREAD)
    assert masks == local.read_masks(SPREAD)
    assert sorted(masks) == [clip_id for clip_id in SPREAD if clip_id % CLIPS_PER_PART % 3]
    counts = hub.counts()
    num_groups = len({clip_id // 190 for clip_id in SPREAD})
    assert counts.cdn.num_requests <= 2 + num_groups + len(masks)  # the footer, row groups of the table, blobs
    hub.reset_counts()
    assert remote.read_masks(SPREAD) == masks
    assert hub.counts().cdn.num_requests == len(masks)
    assert hub.counts().resolve.num_requests == 0


def test_masks_of_neighbours_are_read_at_once(remote: Catalog, local: Catalog, hub: LocalHub) -> None:
    remote.read_masks(range(10))
    hub.reset_counts()
    assert remote.read_masks(range(100)) == local.read_masks(range(100))
    assert hub.counts().cdn.num_requests == 1


def test_masks_of_many_clips_are_those_of_the_folder(remote: Catalog, local: Catalog) -> None:
    random_ = random.Random(0)
    for count in (0, 1, 7, 300):
        ids = random_.sample(range(NUM_CLIPS), count)
        assert remote.read_masks(ids) == local.read_masks(ids)
    assert remote.read_masks(range(NUM_CLIPS)) == local.read_masks(range(NUM_CLIPS))
    assert remote.read_masks([NUM_CLIPS + 5, -1]) == {}


# -- the same answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", ["regular", "nexus-gpt"])
@pytest.mark.parametrize("where", ["tech > 16.5", "has_subject(clip_id, 'red dog', min_gme := 5.0)"])
def test_rows_are_those_of_the_folder(remote: Catalog, local: Catalog, config: Any, where: str) -> None:
    rows = comparable(OpenS2V(remote).rows(where, config=config))
    assert rows == comparable(OpenS2V(local).rows(where, config=config))
    assert rows


def test_pairs_are_those_of_the_folder(remote: Catalog, local: Catalog) -> None:
    rows = [list(OpenS2V(some).rows("pair_id >= 790", config="nexus-cross")) for some in (remote, local)]
    for side in ("clip", "partner"):
        assert comparable(row[side] for row in rows[0]) == comparable(row[side] for row in rows[1])
    assert [row["pair_id"] for row in rows[0]] == list(range(790, 800))


def test_the_address_of_a_video_names_the_catalog_at_its_commit(remote: Catalog) -> None:
    row = next(OpenS2V(remote).rows(limit=1))
    ref = VideoRef.from_address(row["video_path"])
    assert ref.catalog_root == remote.uri
    assert ref.member.endswith(".mp4")


def test_what_was_quarantined_is_told_from_afar(remote: Catalog, local: Catalog) -> None:
    assert list(remote.quarantine()) == list(local.quarantine())


def test_a_bad_condition_is_refused_as_in_a_folder(remote: Catalog) -> None:
    with pytest.raises(QueryError, match=r"(?s)aesthetics.*is no condition that config regular.*columns: .*clip_key"):
        Query(remote).count(where="aesthetics > 5")


@pytest.mark.parametrize("threads", [1, 4, 16])
def test_many_threads_of_duckdb_read_one_table(remote: Catalog, local: Catalog, threads: int) -> None:
    where = "aesthetic > 4.5 AND clip_key LIKE '%segment1%' AND has_subject(clip_id, 'woman')"
    expected = [row for some in Query(local).row_ids(where=where) for row in some.tolist()]
    found = Query(remote, threads=threads)
    for _ in range(3):
        assert [row for some in found.row_ids(where=where) for row in some.tolist()] == expected
    assert expected


def test_threads_share_a_remote_query(remote: Catalog) -> None:
    query, wrong = Query(remote), []

    def ask(number: int) -> None:
        for turn in range(8):
            lo = (number * 397 + turn * 211) % (NUM_CLIPS - 50)
            ids = list(range(lo, lo + 50, 7))
            if query.fetch("clips", ids).column("clip_id").to_pylist() != ids or set(remote.read_masks(ids)) != {
                clip_id for clip_id in ids if clip_id % CLIPS_PER_PART % 3
            }:
                wrong.append(ids)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_remote_query_travels_to_another_process(remote: Catalog) -> None:
    query = Query(remote)
    assert query.count(where="tech > 16.9") == 18
    assert pickle.loads(pickle.dumps(remote)).digest == remote.digest
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_count_and_masks, (query, "tech > 16.9")) == (18, 1)


def _count_and_masks(query: Query, where: str) -> tuple[int, int]:
    return query.count("regular", where), len(query.catalog.read_masks([1]))


def test_a_forked_process_asks_on_its_own(remote: Catalog) -> None:
    query = Query(remote)
    assert query.count(where="tech > 16.9") == 18
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=lambda: queue.put(_count_and_masks(query, "tech > 16.8")))
    child.start()
    assert queue.get(timeout=200) == (38, 1)
    child.join(200)
    assert child.exitcode == 0


INTERRUPTED = """
import sys
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.ranges import Span

catalog = Catalog.open(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
catalog.reader.read_spans([Span(file.path, 0, 100) for file in catalog.files])
"""


def test_ctrl_c_ends_reads_of_several_ranges_although_their_requests_wait_for_minutes(
    hub: LocalHub, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, ADDRESS],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **hub.environment(tmp_path)}, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == "open\n"
    hub.faults = Faults(p429=1.0, retry_after_seconds=300, applies_to=frozenset({"resolve"}))
    process.stdin.write("\n")
    process.stdin.flush()
    until = time.monotonic() + 200
    while 429 not in hub.counts().resolve.statuses and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=200)  # and not 300 s
    assert "KeyboardInterrupt" in told
    assert process.returncode == -signal.SIGINT


# -- faults ------------------------------------------------------------------------------------------------------------


def test_addresses_that_expire_and_a_server_that_fails_change_nothing(
    root: Path, local: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults(p503=0.05, p429=0.02, retry_after_seconds=1, p_cut=0.02, seed=3, applies_to=frozenset({"cdn"}))
    with LocalHub({"me/catalog": root}, url_lifetime_seconds=0.3, faults=faults) as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
        catalog = OpenS2V(Catalog.open(ADDRESS))
        assert comparable(catalog.rows()) == comparable(OpenS2V(local).rows())
        counts = hub.counts()
    assert counts.resolve.num_requests > 10  # more often than there are files
    assert counts.cdn_with_token == 0
    assert counts.cdn.statuses.get(503, 0) > 0


@pytest.mark.parametrize("ask", ["count", "fetch", "masks", "rows"])
def test_a_server_that_gives_nothing_is_told_as_such(remote: Catalog, hub: LocalHub, ask: str) -> None:
    store: Any = remote.store
    store.options = HttpOptions(attempts=2, backoff_seconds=0.01)
    data = OpenS2V(remote)
    hub.faults = Faults(p503=1.0, applies_to=frozenset({"cdn"}))
    calls = {
        "count": lambda: data.count("tech > 3"),
        "fetch": lambda: data.query.fetch("clips", [1]),
        "masks": lambda: remote.read_masks([1]),
        "rows": lambda: list(data.rows(limit=3)),
    }
    with pytest.raises(RemoteError, match=r"^[^?]*\.parquet[^?]*503[^?]*$") as caught:
        calls[ask]()
    assert "Signature" not in repr(caught.value) and caught.value.status == 503
    hub.faults = Faults()
    assert data.count("tech > 16.9") == 18


def test_a_pinned_commit_is_read_on_after_the_repository_moved(
    remote: Catalog, hub: LocalHub, root: Path, tmp_path: Path
) -> None:
    query = Query(remote)
    before = remote.uri
    hub.move("me/catalog", regroup(root, tmp_path / "new", group_rows=GROUP_ROWS // 2))
    assert query.count(where="tech > 16.9") == 18
    again = Catalog.open(before)
    assert (again.digest, again.uri) == (remote.digest, before)
    newest = Catalog.open(ADDRESS)
    assert newest.digest != remote.digest
    assert newest.uri == f"{ADDRESS}@{hub.head('me/catalog')}" != before
    assert Query(newest).count(where="tech > 16.9") == 18


def test_a_catalog_below_a_plain_address_is_read_too(root: Path, local: Catalog) -> None:
    with LocalHub({"me/catalog": root}, lfs_threshold_bytes=1 << 40) as hub:
        address = f"{hub.endpoint}/datasets/me/catalog/resolve/main"
        catalog = Catalog.open(address)
        assert (catalog.uri, catalog.digest) == (address, local.digest)
        rows = comparable(OpenS2V(catalog).rows("tech > 16.5"))
        assert rows == comparable(OpenS2V(local).rows("tech > 16.5"))


def test_a_file_below_a_plain_address_of_another_size_is_named_when_it_is_read(root: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(root, tmp_path / "broken")
    size = (broken / "captions.parquet").stat().st_size
    with (broken / "captions.parquet").open("ab") as file:
        file.write(b"x")
    with LocalHub({"me/catalog": broken}, lfs_threshold_bytes=1 << 40) as hub:
        query = Query(Catalog.open(f"{hub.endpoint}/datasets/me/catalog/resolve/main"))
        assert query.count(where="tech > 16.9") == 18
        for _ in range(2):
            with pytest.raises(
                CatalogDamagedError, match=rf"expected {size} bytes in captions.parquet, found {size + 1};"
            ):
                query.fetch("clips", [1])


def test_an_address_is_found_wherever_a_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("OPENS2V_CATALOG", raising=False)
    monkeypatch.chdir(tmp_path)
    set_default_catalog("hf://datasets/me/default@main")
    assert find_catalog() == "hf://datasets/me/default@main"
    monkeypatch.setenv("OPENS2V_CATALOG", "https://example.org/catalog")
    assert find_catalog() == "https://example.org/catalog"
    assert find_catalog(ADDRESS) == ADDRESS
    assert find_catalog("hf:/not/an/address") == Path("hf:/not/an/address")
