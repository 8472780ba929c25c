"""The explorer as a process: it answers, and it stops."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import httpx2 as httpx
import pytest

from explorer.servers import start
from opens2v_explorer.serving import bound

if TYPE_CHECKING:
    from pathlib import Path

    from explorer.conftest import BrokenCatalog


def test_pages_and_media_come_from_one_port(running_server: str, broken_catalog: BrokenCatalog) -> None:
    page = httpx.get(running_server)
    assert page.status_code == 200 and "text/html" in page.headers["content-type"]
    assert httpx.get(f"{running_server}/_stcore/health").text == "ok"
    poster = httpx.get(f"{running_server}/explorer/clip/{broken_catalog.sound}/poster.webp")
    assert (poster.status_code, poster.headers["content-type"]) == (200, "image/webp")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(sample_catalog: Path, tmp_path: Path, number: int) -> None:
    server = start(sample_catalog, tmp_path)
    assert httpx.get(f"{server.url}/_stcore/health").text == "ok"
    assert server.stop(number) in (0, -signal.SIGTERM if number == signal.SIGTERM else 0)
    assert server.lines == [f"{sample_catalog} is at {server.url} (Ctrl-C ends it)"]


def test_a_port_in_use_is_named_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            OSError, match=rf"cannot listen on port {port} of 127\.0\.0\.1: .*--port 0 takes a free port"
        ):
            bound("127.0.0.1", port)
