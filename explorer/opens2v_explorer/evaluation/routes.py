"""The addresses of `urls`, answered: models' videos by ranges, reference images as WebP.

Number and key are looked up among what was read at the start; no part of a request becomes a path.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from opens2v_explorer.media import pictures
from opens2v_explorer.media.faults import as_state
from opens2v_explorer.media.reader import CHUNK_BYTES
from opens2v_explorer.media.routes import ASK_AGAIN, give_way, has_etag, part_of, refusal, width_of
from opens2v_explorer.media.sharing import Kept
from opens2v_explorer.media.urls import PREFIX
from opens2v_explorer.states import StateError, state
from opens2v_loaders import probe

if TYPE_CHECKING:
    from starlette.requests import Request

    from opens2v_explorer.evaluation.loading import Evaluation

PICTURE_BYTES = 32 << 20
"""Of reference images, kept in memory: 180 prompts have 300 of some 30 kB each."""

_NUMBER = re.compile(r"[0-9]{1,4}")


def routes(evaluation: Evaluation) -> list[Route]:
    """Return the routes of a benchmark's videos and reference images."""
    answers = _Answers(evaluation)
    return [
        Route(f"{PREFIX}/evaluation/video/{{model}}/{{key}}.mp4", answers.video),
        Route(f"{PREFIX}/evaluation/reference/{{key}}/{{nth}}.webp", answers.reference),
    ]


class _Answers:
    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self._pictures: Kept[object, bytes] = Kept(PICTURE_BYTES, size_of=len)

    async def video(self, request: Request) -> Response:
        """Answer with a video, or a range of it; HEAD says whether it can be decoded."""
        try:
            path = self._video(request.path_params["model"], request.path_params["key"])
            size_bytes, etag = await _in_thread(lambda: _seen(path, "no-video"))
            headers = {
                "etag": etag, "cache-control": ASK_AGAIN, "accept-ranges": "bytes", "content-type": "video/mp4"
            }  # fmt: skip
            if request.method == "HEAD":
                await _in_thread(lambda: _decodable(path))
                return Response(headers=headers | {"content-length": str(size_bytes)})
            if has_etag(request, etag):
                return Response(status_code=304, headers=headers)
            part = part_of(request, size_bytes, etag)
            if isinstance(part, Response):
                return part
        except StateError as error:
            return refusal(error.state)
        body = _read(path, part.start, part.stop)
        return StreamingResponse(body, status_code=part.status, headers=headers | part.headers(size_bytes))

    async def reference(self, request: Request) -> Response:
        """Answer with a reference image."""
        try:
            path = self._reference(request.path_params["key"], request.path_params["nth"])
            width = width_of(request.query_params)
            _, seen = await _in_thread(lambda: _seen(path, "no-reference"))
            etag = f'"{hashlib.sha256(f"{seen}{width}".encode()).hexdigest()[:32]}"'
            headers = {"etag": etag, "cache-control": ASK_AGAIN}
            if has_etag(request, etag):
                return Response(status_code=304, headers=headers)
            data = await _in_thread(lambda: self._made(path, width, etag))
        except StateError as error:
            return refusal(error.state)
        headers["content-length"] = str(len(data))
        return Response(b"" if request.method == "HEAD" else data, media_type="image/webp", headers=headers)

    def _video(self, model: str, key: str) -> Path:
        if not _NUMBER.fullmatch(model):
            raise StateError(state("bad-id", f"{model[:40]!r} is not a model's number."))
        if int(model) >= len(self.evaluation.videos):
            raise StateError(state("no-such-model"))
        self._checked(key)
        path = self.evaluation.videos[int(model)].get(key)
        if path is None:
            raise StateError(state("no-video"))
        return path

    def _reference(self, key: str, nth: str) -> Path:
        if not _NUMBER.fullmatch(nth):
            raise StateError(state("bad-id", f"{nth[:40]!r} is not a number of a reference image."))
        paths = self._checked(key)
        path = paths[int(nth)] if int(nth) < len(paths) else None
        if path is None:
            raise StateError(state("no-reference"))
        return path

    def _checked(self, key: str) -> tuple[Path | None, ...]:
        found = self.evaluation.references.get(key)
        if found is None:
            raise StateError(state("no-such-prompt"))
        return found

    def _made(self, path: Path, width: int | None, etag: str) -> bytes:
        known = self._pictures.get((path, etag))
        if known is not None:
            return known
        with as_state(), _there(path, "no-reference"):
            made = pictures.webp(pictures.narrowed(pictures.opened(path.read_bytes()), width))
        self._pictures.put((path, etag), made)
        return made


@contextlib.contextmanager
def _there(path: Path, code: str) -> Iterator[None]:
    """Turn an error of the disk into a state: the file went after the explorer was started."""
    try:
        yield
    except OSError as error:
        said = f"{path.name} was there when the explorer was started: {error.strerror or error}."
        raise StateError(state(code, said)) from error


def _seen(path: Path, code: str) -> tuple[int, str]:
    """Return a file's size, and a tag that changes when it is written anew."""
    with _there(path, code):
        found = path.stat()
    text = f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ino}"
    return found.st_size, f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _decodable(path: Path) -> None:
    with as_state(), _there(path, "no-video"):
        probe(path.read_bytes())


def _read(path: Path, start: int, stop: int) -> Iterator[bytes]:
    """Give a range of a file; Starlette asks for each piece in a thread."""
    with path.open("rb") as file:
        file.seek(start)
        left = stop - start
        while left > 0 and (data := file.read(min(CHUNK_BYTES, left))):
            left -= len(data)
            yield data


async def _in_thread(work: Callable[[], Any]) -> Any:
    def nicely() -> Any:
        give_way()
        return work()

    return await run_in_threadpool(nicely)
