"""The explorer as a process: it answers, and it stops."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import pytest

import opens2v_data
from explorer.asking import get, post
from explorer.servers import start
from opens2v_explorer import runtime
from opens2v_explorer.serving import bound, default_verdicts_path

if TYPE_CHECKING:
    from pathlib import Path

    from explorer.conftest import BrokenCatalog
    from explorer.servers import Server


def test_pages_and_media_come_from_one_port(running_server: str, broken_catalog: BrokenCatalog) -> None:
    page = get(running_server)
    assert page.status_code == 200 and "text/html" in page.headers["content-type"]
    assert get(f"{running_server}/_stcore/health").text == "ok"
    poster = get(f"{running_server}/explorer/clip/{broken_catalog.sound}/poster.webp")
    assert (poster.status_code, poster.headers["content-type"]) == (200, "image/webp")


def test_settings_that_lie_about_are_overruled(running_server: str, running_explorer: Server) -> None:
    told = get(f"{running_server}/_stcore/host-config").json()
    assert told["allowedOrigins"] == []
    agent = post(f"{running_server}/_stcore/agent/interact", json={}, headers={"Origin": running_server})
    assert agent.status_code >= 400
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.2", running_explorer.port), 5):
        pass  # bound to every address it would answer here too


def test_video_comes_as_it_is_and_uncompressed(running_server: str, broken_catalog: BrokenCatalog) -> None:
    url = f"{running_server}/explorer/clip/{broken_catalog.sound}/video.mp4"
    catalog = opens2v_data.open(broken_catalog.root)
    (row,) = catalog.rows_of([broken_catalog.sound], with_subjects=False)
    whole = catalog.read_bytes(opens2v_data.Clip.from_row(row).video)
    for headers, expected in (({}, whole), ({"Range": "bytes=10-99"}, whole[10:100])):
        answer = get(url, headers=headers | {"Accept-Encoding": "gzip"})
        assert answer.content == expected and "content-encoding" not in answer.headers


def test_there_is_no_explorer_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_current", None)
    with pytest.raises(RuntimeError, match="start the explorer with `opens2v explore CATALOG`"):
        runtime.current()


def test_verdicts_of_a_catalog_lie_in_one_place_whatever_is_in_it(
    explorer_catalog: opens2v_data.OpenS2V,
    broken_catalog: BrokenCatalog,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    path = default_verdicts_path(explorer_catalog)
    assert path.parent == tmp_path / "opens2v" / "verdicts" and path.name.startswith("opens2v-5m-")
    assert default_verdicts_path(explorer_catalog) == path
    assert default_verdicts_path(opens2v_data.open(broken_catalog.root)) != path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(sample_catalog: Path, tmp_path: Path, number: int) -> None:
    server = start(sample_catalog, tmp_path)
    assert get(f"{server.url}/_stcore/health").text == "ok"
    assert server.stop(number) in (0, -signal.SIGTERM if number == signal.SIGTERM else 0)
    assert server.lines == [f"{sample_catalog} is at {server.url} (Ctrl-C ends it)"]


def test_a_port_in_use_is_named_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            OSError, match=rf"cannot listen on port {port} of 127\.0\.0\.1: .*--port 0 takes a free port"
        ):
            bound("127.0.0.1", port)
