"""What is given before the app is there: Streamlit's own files and nothing else; all else waits, and no failure is hidden."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2 as httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from explorer.asking import SECONDS
from explorer.servers import start
from opens2v_explorer.front import Front, streamlit_files
from opens2v_explorer.security import Hosts
from opens2v_explorer.serving import bound, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

BASE = "http://127.0.0.1:8501"
INDEX = (streamlit_files() / "index.html").read_text(encoding="utf-8")
LINKED = sorted(set(re.findall(r'(?:href|src)="\./(static/[^"]+)"', INDEX)))
OURS = ("/explorer/static/links.js", "/_stcore/health", "/favicon.png", "/explorer", "/static/js/nothing.js")


class Behind:
    """An app as `streamlit.App` is one to `Front`: it answers with the path, while it lives."""

    def __init__(self) -> None:
        self.lives: list[str] = []

    def lifespan(self) -> Callable[[Any], Any]:
        @asynccontextmanager
        async def live(_: Any) -> AsyncIterator[None]:
            self.lives.append("begun")
            yield
            self.lives.append("ended")

        return live

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert self.lives == ["begun"]
        await PlainTextResponse(f"{scope['method']} {scope['path']}")(scope, receive, send)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opened, it lets the app be made."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def client(behind: Behind, gate: threading.Event) -> Iterator[TestClient]:
    def make() -> Any:
        gate.wait(250)
        return behind

    with TestClient(Front(make, hosts=Hosts()), base_url=BASE) as client:
        yield client
        gate.set()
    assert behind.lives in ([], ["begun", "ended"])


@pytest.mark.parametrize("path", ["/", "/browse", "/views", "/no-such-page"])
def test_every_page_is_streamlits_until_the_app_gives_it(client: TestClient, gate: threading.Event, path: str) -> None:
    page = client.get(path)
    assert (page.text, page.headers["content-type"]) == (INDEX, "text/html; charset=utf-8")
    assert (
        page.headers["cache-control"] == "no-cache" and "default-src 'none'" in page.headers["content-security-policy"]
    )
    gate.set()
    client.get("/explorer/any")  # which waits
    assert client.get(path).text == f"GET {path}"


def test_all_that_streamlits_page_names_is_there_before_and_after(client: TestClient, gate: threading.Event) -> None:
    assert len(LINKED) > 20
    for is_made in (False, True):
        if is_made:
            gate.set()
            client.get("/explorer/any")
        for name in LINKED:
            assert client.get(f"/{name}").content == (streamlit_files() / name).read_bytes(), name


def test_what_is_no_file_of_streamlits_waits_for_the_app(client: TestClient, gate: threading.Event) -> None:
    asked = [("GET", path, {}) for path in OURS]
    asked += [("POST", "/", {}), ("HEAD", "/browse", {}), ("GET", f"/{LINKED[0]}", {"Range": "bytes=0-9"})]
    with ThreadPoolExecutor(len(asked)) as threads:
        answers = [threads.submit(client.request, method, path, headers=headers) for method, path, headers in asked]
        assert client.get("/").text == INDEX  # meanwhile
        assert not any(answer.done() for answer in answers)
        gate.set()
        for (method, path, _), answer in zip(asked, answers, strict=True):
            assert answer.result(200).text == ("" if method == "HEAD" else f"{method} {path}")


@pytest.mark.parametrize("path", ["/", f"/{LINKED[0]}"])
def test_another_host_gets_no_file_either(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"Host": "example.org"})
    assert answer.status_code >= 400 and answer.json()["state"] == "refused"


segments = st.sampled_from(
    ["..", ".", "", "static", "js", "css", "index.html", "%2e%2e", "..%2f", "\\", "a.js", "passwd"]
)


@settings(max_examples=50, deadline=None)
@given(st.lists(segments, max_size=6).map(lambda parts: "/static/" + "/".join(parts)))
def test_no_path_leads_out_of_streamlits_folder(path: str) -> None:
    front = Front(lambda: pytest.fail("nothing is opened"), hosts=Hosts())
    place = front._place_of({"type": "http", "method": "GET", "path": path, "headers": []})
    assert place is None or streamlit_files() / "static" in place.resolve().parents


def test_an_app_that_cannot_be_made_ends_the_server_and_is_told() -> None:
    said: list[str] = []

    def make() -> Any:
        raise OSError("no room for the app")

    with bound("127.0.0.1", 0) as listening, pytest.raises(OSError, match="no room for the app"):
        run(Front(make, hosts=Hosts()), listening, lambda: said.append("ready"))
    assert said == ["ready"]


def test_files_are_given_as_streamlit_gives_them(running_server: str) -> None:
    with httpx.Client(base_url=running_server, timeout=SECONDS) as client:
        for name in LINKED[:: len(LINKED) // 8]:
            ours, theirs = client.get(f"/{name}"), client.head(f"/{name}")  # HEAD is not for the front
            for header in ("content-type", "content-length", "cache-control", "content-security-policy"):
                assert ours.headers[header] == theirs.headers[header], (name, header)
            assert "etag" in theirs.headers and "etag" not in ours.headers


def test_a_signal_ends_it_while_the_app_is_made(sample_catalog: Path, tmp_path: Path) -> None:
    server = start(sample_catalog, tmp_path)
    assert server.stop() == 0
    assert server.lines == [f"{sample_catalog} is at {server.url} (Ctrl-C ends it)"]
