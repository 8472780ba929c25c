"""Pictures and video by ids: the right pixels and bytes, what can be wrong told apart, and what is kept."""

from __future__ import annotations

import io
import sqlite3
import subprocess
import sys
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

import opens2v_data
from opens2v_data.errors import (
    ArchiveError,
    DeadlineError,
    DecodeError,
    MissingPieceError,
    RemoteError,
    TruncatedVideoError,
)
from opens2v_explorer import runtime
from opens2v_explorer.media import ranges, urls
from opens2v_explorer.media.cache import PictureCache, charge_of
from opens2v_explorer.media.faults import as_state
from opens2v_explorer.media.reader import CHUNK_BYTES, MediaReader
from opens2v_explorer.media.sharing import Batches, Kept, OnlyOnce
from opens2v_explorer.runtime import Explorer
from opens2v_explorer.serving import make_app, make_explorer
from opens2v_explorer.states import StateError
from opens2v_loaders import annotated_frame, cut_out, probe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from httpx2 import Response

    from explorer.conftest import BrokenCatalog
    from localhub import LocalHub
    from opens2v_data.sample import SampleFacts

BASE = "http://127.0.0.1:8501"


@pytest.fixture(scope="module")
def explorer(broken_catalog: BrokenCatalog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    folder = tmp_path_factory.mktemp("media")
    made = make_explorer(
        opens2v_data.open(broken_catalog.root), verdicts_path=folder / "verdicts.sqlite", cache_dir=folder / "cache"
    )
    yield made
    made.verdicts.close()
    made.catalog.query.close()
    runtime.use(None)


@pytest.fixture(scope="module")
def client(explorer: Explorer) -> TestClient:
    return TestClient(make_app(explorer, pages=False), base_url=BASE)


@pytest.fixture(autouse=True)
def in_use(explorer: Explorer) -> None:
    """Addresses are those of this explorer, whatever the test before served."""
    runtime.use(explorer)


def pixels(answer: Response) -> np.ndarray:
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp"), answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def told(answer: Response) -> tuple[int, str]:
    """Return the status and the state of a refusal, which stand in header and body alike."""
    body = answer.json()
    assert sorted(body) == ["advice", "detail", "state", "title"]
    assert answer.headers["x-state"] == body["state"] and answer.headers["cache-control"] == "no-store"
    return answer.status_code, body["state"]


def mean_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


# -- pictures --------------------------------------------------------------------------------------------------------


def test_frame_and_poster_show_the_annotated_frame(
    client: TestClient, explorer: Explorer, broken_catalog: BrokenCatalog
) -> None:
    clip = explorer.media.clip(broken_catalog.sound)
    expected = annotated_frame(explorer.catalog.read_bytes(clip.video), clip)
    shown = pixels(client.get(urls.frame(clip.clip_id)))
    assert shown.shape == expected.shape
    assert mean_difference(shown, expected) < 4  # WebP of quality 90
    poster = pixels(client.get(urls.poster(clip.clip_id)))
    assert poster.shape == (180, 320, 3)
    small = np.asarray(Image.fromarray(expected).resize((320, 180)))
    assert mean_difference(poster, small) < 12


@pytest.mark.parametrize(("asked", "given"), [(1, 160), (160, 160), (161, 320), (500, 640), (999999, 640)])
def test_widths_are_those_of_the_list_and_never_more_than_the_picture_has(
    client: TestClient, broken_catalog: BrokenCatalog, asked: int, given: int
) -> None:
    assert pixels(client.get(urls.poster(broken_catalog.sound, asked))).shape[1] == given


def test_a_cut_out_has_the_masks_pixels_and_is_transparent_around(
    client: TestClient, explorer: Explorer, broken_catalog: BrokenCatalog
) -> None:
    triple = explorer.media.triple(broken_catalog.sound)
    frame = annotated_frame(explorer.catalog.read_bytes(triple.clip.video), triple.clip)
    for subject in triple.subjects:
        expected = cut_out(frame, subject, background="transparent")
        assert expected is not None and expected.source == "mask"
        shown = pixels(client.get(urls.cutout(triple.clip.clip_id, subject.object_id)))
        assert np.array_equal(shown[..., 3], np.asarray(expected.image)[..., 3])
    narrow = pixels(client.get(urls.cutout(triple.clip.clip_id, 1, 160)))
    assert narrow.shape[1] <= 160


def test_views_sources_and_backgrounds_are_the_releases_files(
    client: TestClient, explorer: Explorer, broken_catalog: BrokenCatalog
) -> None:
    triple = explorer.media.triple(broken_catalog.sound)
    clip_id, view = triple.clip.clip_id, triple.views[1]
    assert view.source_path and triple.clip.background_path
    for url, path in (
        (urls.view(clip_id, 1), view.path),
        (urls.view_source(clip_id, 1), view.source_path),
        (urls.background(clip_id), triple.clip.background_path),
    ):
        with Image.open(broken_catalog.release / path) as image:
            assert mean_difference(pixels(client.get(url)), np.asarray(image.convert("RGB"))) < 4


# -- states ----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_shown_says_why(client: TestClient, broken_catalog: BrokenCatalog) -> None:
    b = broken_catalog
    expected = {
        urls.frame(b.missing): (404, "not-in-release"),
        urls.poster(b.missing): (404, "not-in-release"),
        urls.video(b.missing): (404, "not-in-release"),
        urls.frame(b.corrupt): (422, "corrupt"),
        urls.poster(b.corrupt): (422, "corrupt"),
        urls.cutout(b.corrupt, 1): (422, "corrupt"),
        urls.cutout(b.maskless, 1): (409, "no-mask"),
        urls.cutout(b.wrong_size, 1): (409, "mask-size"),
        urls.cutout(b.sound, 77): (404, "no-such-subject"),
        urls.view(b.sound, 9): (404, "no-such-view"),
        urls.view(b.maskless, 0): (404, "no-such-view"),
        urls.view(b.corrupt_view, 0): (422, "corrupt"),
        urls.background(b.maskless): (404, "no-background"),
        urls.background(b.sound, 1): (404, "no-background"),
        urls.background(b.lost_background): (404, "not-here"),
        urls.frame(10_000): (404, "no-such-clip"),
    }
    assert {url: told(client.get(url)) for url in expected} == expected


def test_a_box_is_cut_out_where_the_mask_cannot_be(
    client: TestClient, explorer: Explorer, broken_catalog: BrokenCatalog
) -> None:
    for clip_id in (broken_catalog.maskless, broken_catalog.wrong_size):
        box = explorer.media.triple(clip_id).subject(1).bbox_xyxy
        assert box is not None
        shown = pixels(client.get(urls.cutout(clip_id, 1, along="box")))
        assert abs(shown.shape[1] - (box[2] - box[0])) <= 2


def test_head_tells_missing_from_corrupt_from_sound(client: TestClient, broken_catalog: BrokenCatalog) -> None:
    heads = {name: client.head(urls.video(getattr(broken_catalog, name))) for name in ("sound", "missing", "corrupt")}
    assert {name: answer.status_code for name, answer in heads.items()} == {
        "sound": 200,
        "missing": 404,
        "corrupt": 422,
    }
    assert [answer.headers.get("x-state") for answer in heads.values()] == [None, "not-in-release", "corrupt"]
    assert all(answer.content == b"" for answer in heads.values())
    frame = client.head(urls.frame(broken_catalog.sound))
    assert (frame.status_code, frame.content) == (200, b"") and int(frame.headers["content-length"]) > 1000


@pytest.mark.parametrize(
    "path",
    [
        "clip/x/frame.webp", "clip/-1/frame.webp", "clip/1e3/frame.webp", "clip/٣/frame.webp", "clip/1_0/video.mp4",
        "clip/99999999999999999999/poster.webp", "subject/0/a/cutout.webp", "view/0/0x1/image.webp",
        "clip/0/poster.webp?w=abc", "clip/0/poster.webp?w=-5",
    ],
)  # fmt: skip
def test_what_is_no_id_is_refused(client: TestClient, path: str) -> None:
    assert told(client.get(f"/explorer/{path}")) == (400, "bad-id")


@pytest.mark.parametrize(
    "path",
    [
        "clip/0/../../../../etc/passwd", "clip/..%2f..%2f..%2fetc%2fpasswd/frame.webp", "clip/0/frame.png", "clip/0",
        "static/../serving.py", "static/..%2fserving.py", "static/%2fetc%2fpasswd", "static/nothing.js", "static/", "",
        "background/0/0.webp/etc", "view/0/0/main_image.png",
    ],
)  # fmt: skip
def test_no_path_of_a_request_reaches_a_file(client: TestClient, path: str) -> None:
    answer = client.get(f"/explorer/{path}")
    assert answer.status_code in (400, 404)
    assert "root:" not in answer.text and "import" not in answer.text


# -- video -----------------------------------------------------------------------------------------------------------


def test_ranges_give_the_bytes_of_the_file(
    client: TestClient, explorer: Explorer, broken_catalog: BrokenCatalog
) -> None:
    clip_id = broken_catalog.sound
    whole = explorer.catalog.read_bytes(explorer.media.clip(clip_id).video)
    url, size = urls.video(clip_id), len(whole)
    plain = client.get(url)
    assert (plain.status_code, plain.content, plain.headers["accept-ranges"]) == (200, whole, "bytes")
    assert plain.headers["content-type"] == "video/mp4"
    for header, start, stop in (
        ("bytes=0-", 0, size), ("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=-10", size - 10, size),
        (f"bytes={size - 1}-", size - 1, size), ("bytes=5-99999999999", 5, size), ("bytes=-99999999999", 0, size),
    ):  # fmt: skip
        answer = client.get(url, headers={"Range": header})
        assert answer.status_code == 206
        assert answer.content == whole[start:stop]
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert answer.headers["content-length"] == str(stop - start)
    for header in (f"bytes={size}-", "bytes=-0", f"bytes={size + 5}-{size + 9}"):
        answer = client.get(url, headers={"Range": header})
        assert told(answer) == (416, "bad-range")
        assert answer.headers["content-range"] == f"bytes */{size}"
    for header in ("bytes=9-5", "bytes=a-b", "bytes=0-1,5-6", "lines=0-5", "bytes=-", "bytes", "bytes=+1-2"):
        assert client.get(url, headers={"Range": header}).content == whole
    etag = plain.headers["etag"]
    assert client.get(url, headers={"Range": "bytes=0-9", "If-Range": etag}).status_code == 206
    assert client.get(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).status_code == 200


@given(size=st.integers(1, 1000), first=st.integers(0, 1100) | st.none(), last=st.integers(0, 1100) | st.none())
def test_a_range_is_that_of_the_rfc(size: int, first: int | None, last: int | None) -> None:
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    everything = list(range(size))
    if first is not None and (last is None or first <= last):
        expected = everything[first:] if last is None else everything[first : last + 1]
    elif first is None and last is not None:
        expected = everything[size - last if last < size else 0 :] if last else []
    else:
        assert ranges.wanted_range(header, size) is None
        return
    if not expected:
        with pytest.raises(ranges.Unsatisfiable):
            ranges.wanted_range(header, size)
    else:
        start, stop = ranges.wanted_range(header, size) or (0, 0)
        assert everything[start:stop] == expected


def test_a_corrupt_clips_bytes_are_given_as_they_are(client: TestClient, broken_catalog: BrokenCatalog) -> None:
    answer = client.get(urls.video(broken_catalog.corrupt), headers={"Range": "bytes=0-99"})
    assert (answer.status_code, len(answer.content)) == (206, 100)


def test_facts_are_those_of_the_file(
    explorer: Explorer, broken_catalog: BrokenCatalog, sample_facts: SampleFacts
) -> None:
    for clip in sample_facts.clips:
        (triple,) = explorer.catalog.get([f"{clip.part}/{clip.key}"], masks=False)
        if clip.video is None or triple.clip.clip_id == broken_catalog.corrupt:
            continue
        facts = explorer.media.facts(triple.clip.clip_id)
        video = clip.video
        assert facts.pts_seconds == pytest.approx(video.pts_seconds, abs=1e-5)
        assert facts.pts0_seconds == pytest.approx(video.pts_seconds[0], abs=1e-5)
        assert (facts.num_frames, facts.width, facts.height) == (video.num_frames, video.width, video.height)
        assert (facts.size_bytes, facts.is_truncated) == (video.size_bytes, False)
        if facts.is_constant:
            assert facts.fps == pytest.approx(video.fps, rel=0.02)
        assert explorer.media.facts(triple.clip.clip_id) == facts  # from the cache


def test_facts_say_why_there_are_none(explorer: Explorer, broken_catalog: BrokenCatalog) -> None:
    with pytest.raises(StateError, match="No video in this release"):
        explorer.media.facts(broken_catalog.missing)
    with pytest.raises(StateError, match="Cannot be decoded: expected an MP4/MOV file"):
        explorer.media.facts(broken_catalog.corrupt)


def test_the_real_samples_first_frame_is_not_at_zero(real_catalog: Path) -> None:
    media = MediaReader(opens2v_data.open(real_catalog))
    facts = media.facts(0)
    assert facts.pts0_seconds == pytest.approx(0.066, abs=0.001)
    assert Image.open(io.BytesIO(media.poster(0))).width == 320


# -- headers ---------------------------------------------------------------------------------------------------------


def test_browsers_keep_what_never_changes(
    client: TestClient, explorer: Explorer, broken_catalog: BrokenCatalog
) -> None:
    for url in (urls.poster(broken_catalog.sound), urls.video(broken_catalog.sound)):
        answer = client.get(url)
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
        again = client.get(url, headers={"If-None-Match": f'"x", W/{answer.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == answer.headers["etag"]
    # An address of another catalog, or one that somebody wrote.
    stale = client.get(f"/explorer/clip/{broken_catalog.sound}/poster.webp?v=000000000000")
    assert (stale.status_code, stale.headers["cache-control"]) == (200, "private, no-cache")
    tags = {client.get(urls.poster(broken_catalog.sound, width)).headers["etag"] for width in (160, 320)}
    assert len(tags) == 2


def test_static_files_are_the_packages(client: TestClient) -> None:
    from opens2v_explorer.media.routes import static_files

    for name, (data, kind) in static_files().items():
        answer = client.get(urls.static(name))
        assert answer.content == data and answer.headers["content-type"].startswith(kind)
        assert client.get(urls.static(name), headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


# -- from a server ---------------------------------------------------------------------------------------------------


def test_a_release_on_the_hub_is_shown_and_only_what_is_asked_for_is_read(
    hub: LocalHub, sample_catalog: Path, tmp_path: Path
) -> None:
    catalog = opens2v_data.open(sample_catalog, release="hf://datasets/someone/release")
    local = opens2v_data.open(sample_catalog)
    explorer = make_explorer(catalog, verdicts_path=tmp_path / "verdicts.sqlite", cache_dir=tmp_path / "cache")
    client = TestClient(make_app(explorer, pages=False), base_url=BASE)
    triple = explorer.media.triple(0)
    whole = local.read_bytes(triple.clip.video)
    before = hub.counts().cdn.num_bytes
    answer = client.get(urls.video(0), headers={"Range": "bytes=1000-1999"})
    assert (answer.status_code, answer.content) == (206, whole[1000:2000])
    assert hub.counts().cdn.num_bytes - before == 1000
    assert pixels(client.get(urls.frame(0))).shape == (360, 640, 3)
    assert pixels(client.get(urls.view(0, 0))).ndim == 3
    # The file that the frame was decoded from is not read again for the video.
    before = hub.counts().cdn.num_bytes
    assert client.get(urls.video(0)).content == whole
    assert hub.counts().cdn.num_bytes == before
    explorer.verdicts.close()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RemoteError("503 from the server", status=503, is_retryable=True), "unreachable"),
        (RemoteError("no connection"), "unreachable"),
        (DeadlineError("too slow"), "unreachable"),
        (RemoteError("404 from the server", status=404), "not-here"),
        (MissingPieceError("no piece"), "not-here"),
        (TruncatedVideoError("ends early", num_frames_decoded=3), "corrupt"),
    ],
)
def test_errors_of_reading_and_decoding_are_states(error: ArchiveError | DecodeError, code: str) -> None:
    with pytest.raises(StateError, match=str(error)) as raised, as_state():
        raise error
    assert raised.value.state.code == code


def test_a_release_that_is_gone_is_told(sample_catalog: Path, tmp_path: Path) -> None:
    media = MediaReader(opens2v_data.open(sample_catalog, release=tmp_path / "gone"))
    with pytest.raises(StateError, match="Bytes not here: expected the release at"):
        media.poster(0)


def test_video_is_read_in_pieces(explorer_catalog: opens2v_data.OpenS2V, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    plain = explorer_catalog.media.read_range
    monkeypatch.setattr(
        explorer_catalog.media, "read_range", lambda ref, at, length: (read.append(length), plain(ref, at, length))[1]
    )
    monkeypatch.setattr("opens2v_explorer.media.reader.CHUNK_BYTES", 1000)
    media = MediaReader(explorer_catalog)
    chunks = media.video_chunks(0, 0, media.video_size(0))
    assert len(next(chunks)) == 1000 and read == [1000]
    assert CHUNK_BYTES == 1 << 20


# -- what is kept ----------------------------------------------------------------------------------------------------

KEYS = st.sampled_from([f"k{n}" for n in range(8)])
SIZES = st.integers(0, 40_000)


@settings(max_examples=30, deadline=None)
@given(limit=st.integers(0, 12), steps=st.lists(st.tuples(st.booleans(), KEYS, SIZES), max_size=30))
def test_the_cache_keeps_what_was_used_last_and_never_more_than_its_limit(
    limit: int, steps: list[tuple[bool, str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    limit_bytes = limit * 8192
    cache = PictureCache(tmp_path_factory.mktemp("lru"), limit_bytes=limit_bytes, touch_seconds=0)
    model: OrderedDict[str, bytes] = OrderedDict()
    for number, (is_read, key, size) in enumerate(steps):
        if is_read:
            assert cache.get(key) == model.get(key)
            if key in model:
                model.move_to_end(key)
            continue
        data = bytes([number]) * size
        kept = cache.put(key, data)
        assert kept == (charge_of(size) <= limit_bytes)
        if kept:
            model.pop(key, None)
            while sum(charge_of(len(value)) for value in model.values()) + charge_of(size) > limit_bytes:
                model.popitem(last=False)
            model[key] = data
        assert cache.size_bytes() == sum(charge_of(len(value)) for value in model.values()) <= limit_bytes
    assert {key: cache.get(key) for key in model} == model
    cache.close()


def test_a_smaller_limit_takes_effect_at_once(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path, limit_bytes=10 * charge_of(100))
    for n in range(10):
        assert cache.put(f"k{n}", bytes(100))
    cache.close()
    smaller = PictureCache(tmp_path, limit_bytes=3 * charge_of(100))
    assert [n for n in range(10) if smaller.get(f"k{n}") is not None] == [7, 8, 9]


def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path, limit_bytes=1_000_000)
    cache.put("k", b"picture")
    cache.close()
    cache.path.write_bytes(b"no database" * 1000)
    for suffix in ("-wal", "-shm"):
        cache.path.with_name(cache.path.name + suffix).unlink(missing_ok=True)
    assert cache.get("k") is None
    assert cache.put("k", b"again") and cache.get("k") == b"again"


def test_a_cache_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = PictureCache(tmp_path / "file" / "folder", limit_bytes=1_000_000)
    assert cache.get("k") is None and cache.put("k", b"x") is False and cache.num_not_kept == 1


WRITER = """
import sys
from opens2v_explorer.media.cache import PictureCache
cache = PictureCache(sys.argv[1], limit_bytes=40 * 16384)
print("ready", flush=True)
n = 0
while True:
    cache.put(f"{sys.argv[2]}-{n % 60}", (f"{sys.argv[2]}-{n % 60} " * 500).encode())
    n += 1
"""


def test_two_processes_share_a_cache_and_being_killed_leaves_it_sound(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name], stdout=subprocess.PIPE) for name in "ab"
    ]
    cache = PictureCache(tmp_path, limit_bytes=40 * 16384)
    try:
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        found = 0
        while found < 100:
            for n in range(60):
                for name in "ab":
                    data = cache.get(f"{name}-{n}")
                    assert data is None or data == f"{name}-{n} ".encode() * 500
                    found += data is not None
            assert cache.size_bytes() <= 40 * 16384
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert cache.put("mine", b"x") and cache.get("mine") == b"x"
    cache.close()
    with sqlite3.connect(cache.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        total, rows = connection.execute("SELECT charge, (SELECT sum(charge) FROM pictures) FROM total").fetchone()
        assert total == rows <= 40 * 16384


# -- what is shared --------------------------------------------------------------------------------------------------


def in_threads(number: int, work: Any) -> list[Any]:
    """Return what some threads that start together give; an error in place of a value."""
    barrier = threading.Barrier(number)
    results: list[Any] = [None] * number

    def run(n: int) -> None:
        barrier.wait()
        try:
            results[n] = work(n)
        except ValueError as error:
            results[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_picture_that_several_want_is_decoded_once(
    explorer_catalog: opens2v_data.OpenS2V, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []

    def counted(data: bytes, clip: opens2v_data.Clip) -> np.ndarray:
        decoded.append(clip.clip_id)
        return annotated_frame(data, clip)

    monkeypatch.setattr("opens2v_explorer.media.reader.annotated_frame", counted)
    media = MediaReader(explorer_catalog)
    posters = in_threads(8, lambda n: media.poster(n % 2))
    assert len(set(posters)) == 2 and sorted(decoded) == [0, 1]


def test_rows_of_a_page_are_read_together(
    explorer_catalog: opens2v_data.OpenS2V, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[list[int]] = []
    plain = explorer_catalog.rows_of
    monkeypatch.setattr(
        explorer_catalog, "rows_of", lambda ids, **options: (reads.append(list(ids)), plain(ids, **options))[1]
    )
    media = MediaReader(explorer_catalog)
    media.prime([3, 1, 2, 10_000, -1])
    while not reads:
        pass
    assert [media.clip(clip_id).clip_id for clip_id in (1, 2, 3)] == [1, 2, 3]
    assert reads == [[3, 1, 2]]


def test_keys_asked_for_while_a_look_up_runs_make_the_next_one() -> None:
    reads: list[list[int]] = []
    is_reading, go = threading.Event(), threading.Event()

    def read(keys: list[int]) -> dict[int, int]:
        reads.append(sorted(keys))
        is_reading.set()
        go.wait(10)
        return {key: key * key for key in keys}

    batches: Batches[int, int] = Batches(read, keep=100)
    first = threading.Thread(target=batches.get, args=(100,))
    first.start()
    is_reading.wait(10)
    results: dict[int, int] = {}
    others = [threading.Thread(target=lambda n=n: results.update({n: batches.get(n)})) for n in range(6)]
    for thread in others:
        thread.start()
    while len(batches._waiting) < 6:
        pass
    go.set()
    for thread in (first, *others):
        thread.join()
    assert results == {n: n * n for n in range(6)}
    assert reads == [[100], [0, 1, 2, 3, 4, 5]]


def test_an_error_of_a_look_up_reaches_all_who_asked_and_is_not_kept() -> None:
    is_broken = True

    def read(keys: list[int]) -> dict[int, int]:
        if is_broken:
            raise ValueError("no table")
        return dict.fromkeys(keys, 1)

    batches: Batches[int, int] = Batches(read, keep=10)
    assert all(isinstance(result, ValueError) for result in in_threads(4, batches.get))
    is_broken = False
    assert batches.get_many([1, 2, 1]) == [1, 1, 1]
    once: OnlyOnce[str, int] = OnlyOnce()
    with pytest.raises(ZeroDivisionError, match="modulo by zero"):
        once.get("k", lambda: 1 % 0)
    assert once.get("k", lambda: 7) == 7


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10)), max_size=40), st.integers(0, 20))
def test_what_is_kept_in_memory_is_what_was_used_last(steps: list[tuple[int, int]], limit: int) -> None:
    kept: Kept[int, bytes] = Kept(limit, size_of=len)
    model: OrderedDict[int, bytes] = OrderedDict()
    for key, size in steps:
        kept.put(key, bytes(size))
        model.pop(key, None)
        model[key] = bytes(size)
        while sum(map(len, model.values())) > limit:
            model.popitem(last=False)
        other = (key + 1) % 6
        assert kept.get(other) == model.get(other)
        if other in model:
            model.move_to_end(other)


def test_probing_for_facts_uses_the_loaders_own_probe(explorer: Explorer, broken_catalog: BrokenCatalog) -> None:
    clip = explorer.media.clip(broken_catalog.sound)
    info = probe(explorer.catalog.read_bytes(clip.video))
    assert explorer.media.facts(clip.clip_id).pts0_seconds == pytest.approx(info.start_seconds, abs=1e-6)
