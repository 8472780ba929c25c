"""Pictures and video by ids: the right pixels and bytes, what can be wrong told apart, and what is kept."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

import opens2v_data
from localhub.counts import ROUTES
from opens2v_data.archive.cache import ClipCache
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
from opens2v_explorer.media.faults import as_state
from opens2v_explorer.media.reader import CHUNK_BYTES, MediaReader
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
    from localhub.counts import Counts
    from opens2v_data.sample import SampleFacts

BASE = "http://127.0.0.1:8501"


@pytest.fixture(scope="module")
def explorer(broken_catalog: BrokenCatalog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    folder = tmp_path_factory.mktemp("media")
    made = make_explorer(
        opens2v_data.open(broken_catalog.root), verdicts_path=folder / "verdicts.sqlite", pictures_dir=folder / "cache"
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
    explorer = make_explorer(catalog, verdicts_path=tmp_path / "verdicts.sqlite", pictures_dir=tmp_path / "cache")
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


def num_asked(counts: Counts) -> int:
    """Return how many requests came to the Hub, of any kind."""
    return sum(getattr(counts, route).num_requests for route in ROUTES)


def first_clip(sample_catalog: Path) -> bytes:
    """Return the mp4 of clip 0, read from the disk."""
    catalog = opens2v_data.open(sample_catalog)
    (triple,) = catalog.triples(limit=1)
    assert triple.clip.clip_id == 0 and triple.clip.video is not None
    return catalog.read_bytes(triple.clip.video)


def test_what_was_looked_at_with_a_cache_of_clips_asks_nothing_of_the_hub_again(
    hub: LocalHub, sample_catalog: Path, tmp_path: Path
) -> None:
    whole = first_clip(sample_catalog)
    release = f"hf://datasets/someone/release@{hub.head('someone/release')}"  # with the commit, as an index of the Hub names it

    def looked_at(**options: Any) -> list[bytes]:
        cache = ClipCache(tmp_path / "clips", limit_bytes=1 << 28)
        catalog = opens2v_data.open(sample_catalog, release=release, cache=cache)
        explorer = make_explorer(catalog, verdicts_path=tmp_path / "verdicts.sqlite", **options)
        client = TestClient(make_app(explorer, pages=False), base_url=BASE)
        part = client.get(urls.video(0), headers={"Range": "bytes=1000-1999"})
        assert (part.status_code, part.content) == (206, whole[1000:2000])
        pictures = [urls.poster(0), urls.frame(0), urls.still(0, 2), urls.view(0, 0), urls.view_source(0, 0)]
        answers = [client.get(address) for address in [urls.video(0), *pictures]]
        assert {answer.status_code for answer in answers} == {200} and explorer.media.not_kept() is None
        assert client.head(urls.video(0)).headers["content-length"] == str(len(whole))
        explorer.verdicts.close()
        catalog.query.close()
        return [answer.content for answer in answers]

    first = looked_at(pictures_dir=tmp_path / "pictures")
    assert first[0] == whole
    assert hub.counts().cdn.num_bytes >= len(whole)
    # Another explorer, as after a restart: neither the clip nor a picture is read again.
    hub.reset_counts()
    assert looked_at(pictures_dir=tmp_path / "pictures") == first
    assert num_asked(hub.counts()) == 0
    # Without pictures on disk they are made of the clip that is; only the files of the view and its source are read.
    assert looked_at(pictures_gb=0) == first
    assert hub.counts().cdn.num_requests == 2


def test_a_disk_that_keeps_nothing_is_told_and_everything_is_shown(
    hub: LocalHub, sample_catalog: Path, tmp_path: Path
) -> None:
    cache = ClipCache(tmp_path / "clips", limit_bytes=1 << 28)
    (tmp_path / "file").touch()
    catalog = opens2v_data.open(sample_catalog, release="hf://datasets/someone/release", cache=cache)
    explorer = make_explorer(
        catalog, verdicts_path=tmp_path / "verdicts.sqlite", pictures_dir=tmp_path / "file" / "pictures"
    )
    shutil.rmtree(cache.root)
    client = TestClient(make_app(explorer, pages=False), base_url=BASE)
    assert client.get(urls.video(0)).content == first_clip(sample_catalog)
    assert pixels(client.get(urls.frame(0))).shape == (360, 640, 3)
    why = explorer.media.not_kept()
    assert why is not None and why.code == "not-kept"
    assert f"1 clip could not be kept in {cache.root}; of the last one: [Errno 2] No such file" in why.detail
    assert f"1 picture could not be kept in {tmp_path / 'file' / 'pictures'}; of the last one: " in why.detail
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


def test_probing_for_facts_uses_the_loaders_own_probe(explorer: Explorer, broken_catalog: BrokenCatalog) -> None:
    clip = explorer.media.clip(broken_catalog.sound)
    info = probe(explorer.catalog.read_bytes(clip.video))
    assert explorer.media.facts(clip.clip_id).pts0_seconds == pytest.approx(info.start_seconds, abs=1e-6)
