"""Against the real Hub; see README.md beside this."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from opens2v_data.archive import MemberScan, Part, Piece, starts_like_mp4
from opens2v_data.archive.chains import ChainOptions, ChainScan
from opens2v_data.archive.fetch import Delivered, Fetcher, Wanted
from opens2v_data.archive.remote import HubStore
from opens2v_data.catalog.members import archive_part
from opens2v_data.hub.release import HubFiles
from opens2v_data.release.hugejson import HugeObject
from opens2v_data.release.layout import Release
from opens2v_data.release.records import RawRecord, decode_record, normalise

pytestmark = pytest.mark.skipif(
    os.environ.get("OPENS2V_LIVE") != "1", reason="reads the real Hub: set OPENS2V_LIVE=1 to run it"
)
REPO = os.environ.get("OPENS2V_LIVE_REPO", "BestWishYsh/OpenS2V-5M")
HEAD_BYTES = 40_000_000


@pytest.fixture(scope="module")
def store() -> HubStore:
    return HubStore(REPO, revision=os.environ.get("OPENS2V_LIVE_REVISION"))


@pytest.fixture(scope="module")
def release(store: HubStore) -> Release:
    return Release(HubFiles(store), revision=store.commit)


def beginning(release: Release) -> Part:
    """Return the first piece of the first part as if it were all of it."""
    part = archive_part(release.video_parts()[0])
    return Part(name=part.name, layout="split-tar", pieces=part.pieces[:1])


def test_the_tree_is_laid_out_as_we_know_it(release: Release) -> None:
    parts = release.video_parts()
    assert len(parts) == 13
    assert sum(len(part.files) for part in parts) > 1_000
    assert all(piece.sha256 for part in parts for piece in part.files)
    assert len(release.json_files()) == 13
    assert release.pair_files()


def test_a_piece_is_resolved_once_and_read_by_range(store: HubStore, release: Release) -> None:
    path = release.video_parts()[0].files[0].path
    before = store.counters.num_resolves
    head = store.read_range(path, 0, 1_536)
    assert head[257:262] == b"ustar"
    assert store.read_range(path, 0, 512) == head[:512]
    assert store.counters.num_resolves <= before + 1
    assert store.counters.num_expired == 0


def test_the_first_clips_of_a_part_come_whole(store: HubStore, release: Release) -> None:
    part = beginning(release)
    wanted: list[Wanted] = []
    for member in MemberScan(store, part):
        wanted.append(
            Wanted(
                key=member.name,
                part=part,
                name=member.name,
                offset=member.offset,
                size_bytes=member.size_bytes,
                has_ftyp=True,
            )
        )
        if len(wanted) == 8:
            break
    results = list(Fetcher(store).fetch(wanted))
    assert all(isinstance(result, Delivered) and starts_like_mp4(result.data) for result in results)


def test_chains_find_what_a_walk_finds(store: HubStore, release: Release) -> None:
    part = beginning(release)
    part = Part(name=part.name, layout="tar", pieces=(Piece(path=part.pieces[0].path, size_bytes=part.size_bytes),))
    options = ChainOptions(max_chains=16, min_chain_bytes=50_000_000)
    chained, walked = iter(ChainScan(store, part, options=options)), iter(MemberScan(store, part))
    for _ in range(40):
        assert next(chained) == next(walked)
    chained.close()  # type: ignore[attr-defined]


def test_the_first_records_are_read_and_normalised(release: Release) -> None:
    huge = HugeObject(release.files, release.json_files()[0].path, record_type=RawRecord, decode_one=decode_record)
    count = 0
    for batch in huge.read(0, HEAD_BYTES):
        for key, raw, quirks in zip(batch.keys, batch.records, batch.quirks, strict=True):
            clip = normalise(key, raw, quirks)
            assert clip.key == key
            count += 1
        assert not batch.bad
    assert count > 10


def test_load_dataset_reads_a_published_catalog(tmp_path: Path) -> None:
    address = os.environ.get("OPENS2V_LIVE_CATALOG")
    if not address:
        pytest.skip("set OPENS2V_LIVE_CATALOG=hf://datasets/… to a published catalog")
    from datasets import load_dataset

    import opens2v_data  # noqa: F401 - teaches `datasets` the name

    rows = load_dataset("opens2v-5m", data_dir=address, where="aesthetic > 5", streaming=True, decode=False)["train"]
    row = next(iter(rows))
    assert row["caption"]
    assert row["subjects"]
