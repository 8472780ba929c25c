"""What a browser is given while the app behind the pages is still being made: Streamlit's own page and scripts.

A browser takes 0.7 s to start those scripts, and Python 0.3 s to import what answers them; on two cores both go on at once.

    GET /static/js/…, css/…, media/…   files of the Streamlit that is installed, under names that hold their digests: at any time
    GET /, /browse, …                  its index.html, whatever the page: until the app is there, which then gives it
    all else                           waits for the app
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from opens2v_data.errors import MissingExtraError
from opens2v_explorer.security import Guard

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send
    from streamlit import App

    from opens2v_explorer.security import Hosts

_FILE = re.compile(r"/static/((?:js|css|media)/[A-Za-z0-9_-][\w.-]*\.(\w+))", re.ASCII)
"""One segment that begins with no dot: nothing above the folder can be named."""

_PAGE = re.compile(r"/[a-z0-9_-]*", re.ASCII)
_NO_PAGES = frozenset({"/explorer", "/media", "/static", "/component", "/_stcore"})

_TYPES = {"js": b"application/javascript", "css": b"text/css; charset=utf-8", "woff2": b"font/woff2"}
"""Of files that are given here, as Streamlit gives them; those of other kinds are its business."""

_HTML = b"text/html; charset=utf-8"
_FOREVER = b"public, immutable, max-age=31536000"


def streamlit_files() -> Path:
    """Return the folder of Streamlit's page, without importing Streamlit.

    Raises:
        MissingExtraError: it is not installed.
    """
    spec = find_spec("streamlit")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(package="streamlit", extra="explorer", needed_for="the explorer")
    return Path(spec.submodule_search_locations[0]) / "static"


class Front:
    """Answers for an app that is made in a thread once the server listens. The ASGI app that the server runs.

    Args:
        make: gives the app; called once, in a thread.
        hosts: under which names its own files are given; the app has a guard of its own.
        on_failure: called on the server's thread when the app could not be made or started, to end the server.

    Attributes:
        failure: why there is no app; None: there is one, or will be.
    """

    def __init__(self, make: Callable[[], App], *, hosts: Hosts, on_failure: Callable[[], None] = lambda: None) -> None:
        self.failure: BaseException | None = None
        self.on_failure = on_failure
        self._make = make
        self._folder = streamlit_files()
        self._index = (self._folder / "index.html").read_bytes()
        self._files = Guard(self._give_file, hosts=hosts, token="", page=self._index.decode())
        self._app: ASGIApp | None = None
        self._is_decided = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on when the app is there."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] == "http" and self._place_of(scope) is not None:
            await self._files(scope, receive, send)
            return
        await self._is_decided.wait()
        if self._app is None:
            raise RuntimeError("the explorer could not be started") from self.failure
        await self._app(scope, receive, send)

    # -- files -------------------------------------------------------------------------------------------------------

    def _place_of(self, scope: Scope) -> Path | None:
        """Return the file that is given here, or None: the app answers."""
        if scope["method"] != "GET" or any(name == b"range" for name, _ in scope["headers"]):
            return None
        path = scope["path"]
        if (found := _FILE.fullmatch(path)) is not None:
            place = self._folder / "static" / found[1]
            return place if found[2] in _TYPES and place.is_file() else None
        is_page = self._app is None and path not in _NO_PAGES and _PAGE.fullmatch(path) is not None
        return self._folder / "index.html" if is_page else None

    async def _give_file(self, scope: Scope, receive: Receive, send: Send) -> None:
        place = self._place_of(scope)
        assert place is not None
        is_index = place.suffix == ".html"
        # Read here and now, 0.2 ms for the largest that pages load: a thread would wait longer for its turn, while others import.
        body = self._index if is_index else place.read_bytes()
        headers = [
            (b"content-type", _HTML if is_index else _TYPES[place.suffix[1:]]),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-cache" if is_index else _FOREVER),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    # -- the app -----------------------------------------------------------------------------------------------------

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        ending = asyncio.Event()
        opening = asyncio.create_task(self._open(ending))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        ending.set()
        if self._app is None:
            opening.cancel()  # its thread goes on to the end of what it imports
        with contextlib.suppress(asyncio.CancelledError):
            await opening
        await send({"type": "lifespan.shutdown.complete"})

    async def _open(self, ending: asyncio.Event) -> None:
        try:
            app = await asyncio.to_thread(self._make)
            async with app.lifespan()(app):
                self._app = app
                self._is_decided.set()
                await ending.wait()
        except Exception as error:  # noqa: BLE001 (whoever runs the server raises it)
            self.failure = error
            self._is_decided.set()
            self.on_failure()
