"""The addresses of `urls`, answered: pictures, video by ranges, scripts and style sheets.

An id that is no number is refused before anything is looked up. Work runs in threads, a limited number of them, so that pages
and verdicts never wait for pictures.
"""

from __future__ import annotations

import contextlib
import hashlib
import mimetypes
import os
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from opens2v_explorer.media.ranges import Unsatisfiable, wanted_range
from opens2v_explorer.media.urls import PREFIX, WIDTHS
from opens2v_explorer.states import State, StateError, state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from opens2v_explorer.media.reader import MediaReader
    from opens2v_explorer.runtime import Explorer

    _Make = Callable[[list[int], Mapping[str, str]], bytes]

NUM_THREADS = 12
"""Requests worked on at a time. Decoding has a limit of its own; reading from a server gains from more than there are cores."""

NICENESS = 5
_nice = threading.local()

FOREVER, ASK_AGAIN, NEVER = "private, max-age=31536000, immutable", "private, no-cache", "no-store"

_NUMBER = re.compile(r"[0-9]{1,9}")


def routes(explorer: Explorer) -> list[Route]:
    """Return the routes of an explorer's media and static files, and one that says that nothing else is there."""
    answers = _Answers(explorer)
    static = static_files()

    async def static_file(request: Request) -> Response:
        found = static.get(request.path_params["name"])
        return _nothing() if found is None else _static(request, *found)

    made = _pictures(explorer.media)
    return [
        *(Route(f"{PREFIX}/{path}", answers.picture(make)) for path, make in made.items()),
        Route(f"{PREFIX}/clip/{{clip_id}}/video.mp4", answers.video),
        Route(f"{PREFIX}/static/{{name}}", static_file),
    ]


def _pictures(media: MediaReader) -> dict[str, _Make]:
    """Return, by address, what makes each kind of picture of the address's numbers and parameters."""

    def cutout(n: list[int], q: Mapping[str, str]) -> bytes:
        return media.cutout(n[0], n[1], width_of(q), along="box" if q.get("along") == "box" else "mask")

    return {
        "clip/{clip_id}/poster.webp": lambda n, q: media.poster(n[0], width_of(q) or 320),
        "clip/{clip_id}/frame.webp": lambda n, _: media.frame(n[0]),
        "clip/{clip_id}/still/{frame_idx}.webp": lambda n, _: media.still(n[0], n[1]),
        "subject/{clip_id}/{object_id}/cutout.webp": cutout,
        "view/{clip_id}/{nth}/image.webp": lambda n, q: media.view(n[0], n[1], width_of(q)),
        "view/{clip_id}/{nth}/source.webp": lambda n, q: media.view_source(n[0], n[1], width_of(q)),
        "background/{clip_id}/{nth}.webp": lambda n, q: media.background(n[0], n[1], width_of(q)),
    }


def nothing_else() -> Route:
    """Return the last of our routes: below our prefix there is nothing but what was named, and never Streamlit's page."""

    async def nothing(_: Request) -> Response:
        return _nothing()

    return Route(f"{PREFIX}/{{rest:path}}", nothing, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])


def static_files() -> dict[str, tuple[bytes, str]]:
    """Return the package's scripts and style sheets and their types, read now: no request's path reaches the disk."""
    found: dict[str, tuple[bytes, str]] = {}
    for entry in files("opens2v_explorer").joinpath("static").iterdir():
        if entry.is_file() and not entry.name.startswith((".", "_")):
            # The machine's own table may call a script text/plain, which browsers then refuse.
            kind = {"js": "text/javascript", "css": "text/css"}.get(entry.name.rpartition(".")[2])
            found[entry.name] = (entry.read_bytes(), kind or mimetypes.guess_type(entry.name)[0] or "text/plain")
    return found


class _Answers:
    """Makes answers of what the reader gives."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        self._limiter: anyio.CapacityLimiter | None = None

    def picture(self, make: _Make) -> Callable[[Request], Any]:
        """Return the endpoint of one kind of picture."""

        async def answer(request: Request) -> Response:
            try:
                numbers = _numbers(request)
                asked = sorted((name, value) for name, value in request.query_params.items() if name != "v")
                etag = f'"{self.explorer.media.etag(request.url.path, asked)}"'
                if has_etag(request, etag):
                    return Response(status_code=304, headers=self._headers(request, etag))
                data = await self._in_thread(lambda: make(numbers, request.query_params))
            except StateError as error:
                return refusal(error.state)
            headers = self._headers(request, etag) | {"content-length": str(len(data))}
            return Response(b"" if request.method == "HEAD" else data, media_type="image/webp", headers=headers)

        return answer

    async def video(self, request: Request) -> Response:
        """Answer with a clip's mp4, or a range of it; HEAD says whether it can be decoded."""
        media = self.explorer.media
        try:
            (clip_id,) = _numbers(request)
            size_bytes = await self._in_thread(lambda: media.video_size(clip_id))
            etag = f'"{media.etag("video", clip_id)}"'
            headers = self._headers(request, etag) | {"accept-ranges": "bytes", "content-type": "video/mp4"}
            if has_etag(request, etag) and request.method == "GET":
                return Response(status_code=304, headers=headers)
            if request.method == "HEAD":
                facts = await self._in_thread(lambda: media.facts(clip_id))
                headers |= {"x-state": "truncated"} if facts.is_truncated else {}
                return Response(headers=headers | {"content-length": str(size_bytes)})
            part = part_of(request, size_bytes, etag)
            if isinstance(part, Response):
                return part
            chunks = media.video_chunks(clip_id, part.start, part.stop)
            # Before the answer begins: afterwards nobody can be told that there are no bytes.
            first = await self._in_thread(lambda: next(chunks, b""))
        except StateError as error:
            return refusal(error.state)
        return StreamingResponse(
            self._streamed(first, chunks), status_code=part.status, headers=headers | part.headers(size_bytes)
        )

    async def _streamed(self, first: bytes, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        data = first
        while data:
            yield data
            data = await self._in_thread(lambda: next(chunks, b""))

    def _headers(self, request: Request, etag: str) -> dict[str, str]:
        # An address of another catalog's page names other pictures with the same ids: those are not to be kept.
        is_own = request.query_params.get("v") == self.explorer.version
        return {"etag": etag, "cache-control": FOREVER if is_own else ASK_AGAIN}

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(NUM_THREADS)

        def work_nicely() -> Any:
            give_way()
            return work()

        return await anyio.to_thread.run_sync(work_nicely, limiter=self._limiter, abandon_on_cancel=True)


def give_way() -> None:
    """Let this thread be served after others: pictures come while clips are counted, and do not hold that up.

    For the whole of the thread's life, as only the superuser may take it back. On Linux each thread has a niceness of its own;
    elsewhere nothing is changed.
    """
    if sys.platform != "linux" or getattr(_nice, "is_set", False):
        return
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    _nice.is_set = True


def refusal(why: State, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that says why there is nothing."""
    marks = {"x-state": why.code, "cache-control": NEVER}
    return JSONResponse(why.as_json(), status_code=why.status, headers=marks | dict(headers or {}))


@dataclass(frozen=True, kw_only=True)
class Part:
    """Half-open range of a file that is answered with; `is_whole` where no range was asked for."""

    start: int
    stop: int
    is_whole: bool

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return 200 if self.is_whole else 206

    def headers(self, size_bytes: int) -> dict[str, str]:
        """Return what the answer says of its bytes."""
        headers = {"content-length": str(self.stop - self.start)}
        if not self.is_whole:
            headers["content-range"] = f"bytes {self.start}-{self.stop - 1}/{size_bytes}"
        return headers


def part_of(request: Request, size_bytes: int, etag: str) -> Part | Response:
    """Return which bytes of a video are asked for, or the answer that there are none there."""
    asked = None
    if request.headers.get("if-range", etag) == etag:
        try:
            asked = wanted_range(request.headers.get("range"), size_bytes)
        except Unsatisfiable:
            beyond = state("bad-range", f"The video has {size_bytes} bytes; {request.headers['range']} was asked for.")
            return refusal(beyond, {"content-range": f"bytes */{size_bytes}"})
    start, stop = asked or (0, size_bytes)
    return Part(start=start, stop=stop, is_whole=asked is None)


def _nothing() -> Response:
    return JSONResponse({"state": "nothing-here", "title": "Nothing here", "detail": "", "advice": ""}, status_code=404)


def _static(request: Request, data: bytes, kind: str) -> Response:
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"etag": etag, "cache-control": ASK_AGAIN}
    if has_etag(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=kind, headers=headers)


def has_etag(request: Request, etag: str) -> bool:
    """Say whether the browser has this already."""
    known = request.headers.get("if-none-match", "")
    return etag in (tag.strip().removeprefix("W/") for tag in known.split(","))


def _numbers(request: Request) -> list[int]:
    texts = request.path_params.values()
    for text in texts:
        if not _NUMBER.fullmatch(text):
            raise StateError(state("bad-id", f"{text[:40]!r} is not a whole number from 0."))
    return [int(text) for text in texts]


def width_of(parameters: Mapping[str, str]) -> int | None:
    """Return the width that a picture is asked for in, one of `WIDTHS`; None: its own.

    Raises:
        StateError: bad-id.
    """
    text = parameters.get("w")
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise StateError(state("bad-id", f"w is a number of pixels, not {text[:40]!r}."))
    return next((width for width in WIDTHS if width >= int(text)), WIDTHS[-1])
