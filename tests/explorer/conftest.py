"""What tests of the explorer share: a sound catalog, a broken one, and the explorer of the broken one in a process of its own."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import opens2v_data
from explorer.benchmark import Benchmark, write_benchmark
from explorer.servers import Server, start

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("streamlit", reason="the explorer needs the extra `explorer`")


SETTINGS = """
[server]
address = "0.0.0.0"
port = 1
baseUrlPath = "elsewhere"
enableStaticServing = true
enableXsrfProtection = false
enableCORS = false
enableAgentApi = true
[browser]
gatherUsageStats = true
[client]
allowedOrigins = ["https://example.org"]
"""


@dataclass(frozen=True, kw_only=True)
class BrokenCatalog:
    """A catalog of the sample release, some of whose files were damaged after it was made. Clips by id.

    Attributes:
        root: folder of the catalog.
        release: of the release.
        sound: nothing is wrong with it; its video starts after 0 s, it has views, masks and a plate.
        missing: the release has no video of it.
        corrupt: its bytes are there and are no video.
        maskless: none of its subjects has a mask.
        wrong_size: its masks are of another size than its frame.
        lost_background: its background plate is in the catalog and not in the release.
        corrupt_view: its first view is no picture.
    """

    root: Path
    release: Path
    sound: int
    missing: int
    corrupt: int
    maskless: int
    wrong_size: int
    lost_background: int
    corrupt_view: int


@pytest.fixture(scope="session")
def explorer_catalog(sample_catalog: Path) -> Iterator[opens2v_data.OpenS2V]:
    """The catalog of the sample release, opened; only read."""
    catalog = opens2v_data.open(sample_catalog)
    yield catalog
    catalog.query.close()


@pytest.fixture(scope="session")
def broken_catalog(sample_release: Path, tmp_path_factory: pytest.TempPathFactory) -> BrokenCatalog:
    """A catalog whose clips show what can be wrong; only read."""
    from opens2v_data.catalog.ingest import ingest
    from opens2v_data.release.layout import Release

    folder = tmp_path_factory.mktemp("broken")
    release = shutil.copytree(sample_release, folder / "release")
    assert ingest(Release.open(str(release)), folder / "opens2v-5m").manifest is not None
    catalog = opens2v_data.open(folder / "opens2v-5m")
    triples = {triple.clip.key: triple for triple in catalog.triples()}
    with_views = {triple.clip.clip_id: triple for triple in catalog.triples(with_views=True)}

    def clip_id(start: str) -> int:
        return next(triple.clip.clip_id for key, triple in triples.items() if key.startswith(start))

    broken = BrokenCatalog(
        root=folder / "opens2v-5m",
        release=release,
        sound=clip_id("8fKq2vWd3Lc_segment1"),
        missing=clip_id("m4YvQx0bRk6"),
        corrupt=clip_id("hY2bWc5QeR8"),
        maskless=clip_id("c2VnQy6ZtBk"),
        wrong_size=clip_id("pL3wKz8Fq5I"),
        lost_background=clip_id("8fKq2vWd3Lc_segment7"),
        corrupt_view=clip_id("Zr4mT7xNp0s_segment2"),
    )
    by_id = {triple.clip.clip_id: triple for triple in triples.values()}
    video = by_id[broken.corrupt].clip.video
    assert video is not None
    _overwrite(release / "Videos" / video.part, video.offset, video.size_bytes)
    plate = by_id[broken.lost_background].clip.background_path
    assert plate is not None
    (release / plate).unlink()
    (release / with_views[broken.corrupt_view].views[0].path).write_bytes(b"\x89PNG\r\n\x1a\n and nothing else")
    return broken


@pytest.fixture(scope="session")
def benchmark_files(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """A small benchmark with two models; only read."""
    return write_benchmark(tmp_path_factory.mktemp("benchmark"))


@pytest.fixture(scope="session")
def running_explorer(
    broken_catalog: BrokenCatalog, benchmark_files: Benchmark, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The explorer of `broken_catalog`, with two models on a small benchmark, running until the session ends.

    Its verdicts are shared by the tests of a session.
    """
    folder = tmp_path_factory.mktemp("explorer")
    # What lies in the folder where somebody starts it must not open a door or send anything anywhere.
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "config.toml").write_text(SETTINGS)
    server = start(broken_catalog.root, folder, *benchmark_files.options())
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def running_server(running_explorer: Server) -> str:
    """Where `running_explorer` answers: `http://127.0.0.1:PORT`."""
    return running_explorer.url


def _overwrite(folder: Path, offset: int, length: int) -> None:
    """Put noise over some bytes of a split tar."""
    start = 0
    for piece in sorted(folder.iterdir()):
        size = piece.stat().st_size
        lo, hi = max(offset - start, 0), min(offset + length - start, size)
        if lo < hi:
            with piece.open("r+b") as file:
                file.seek(lo)
                file.write(os.urandom(hi - lo))
        start += size
