"""Verdicts over HTTP, without a run of the page's script: the browser sends events and asks for clips to judge.

    POST /explorer/verdicts                    a JSON list of events; answers for each of them new, already or refused
    GET  /explorer/verdicts/current            what one reviewer said: who, kind, round, target (each may be left out but who)
    GET  /explorer/verdicts/queue              clips to judge: parameters of the filter, and who, round, which, after; or count=1
    GET  /explorer/verdicts/export/{name}      slice, keys or events as a file: kind, verdict, by, who
    GET  /explorer/verdicts/times/{clip_id}    where the clip's cut begins and ends in its video

Host, Origin and token are checked by `security.Guard` before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from opens2v_data.errors import QueryError, VerdictLogError
from opens2v_explorer.filters import Filters
from opens2v_explorer.states import State, StateError, state
from opens2v_explorer.verdicts.events import VERDICTS
from opens2v_explorer.verdicts.exporting import By, chosen_targets, clip_keys, event_lines, key_lines, slice_bytes
from opens2v_explorer.verdicts.queue import Queue
from opens2v_explorer.verdicts.targets import KINDS, Kind

if TYPE_CHECKING:
    from starlette.requests import Request

    from opens2v_explorer.runtime import Explorer

PREFIX = "/explorer/verdicts"
MAX_BODY_BYTES = 1 << 20
"""300 events of the greatest size; the page sends 100 at a time."""

_NO_STORE = {"Cache-Control": "no-store"}


def routes(explorer: Explorer) -> list[BaseRoute]:
    """Return the routes of an explorer's verdicts."""

    async def post(request: Request) -> JSONResponse:
        try:
            events = _parsed(await _body(request))
            results = await run_in_threadpool(_add, explorer, events)
        except _Refused as refused:
            return _answer({"error": refused.reason}, status=refused.status)
        except VerdictLogError as error:
            return _told(state("log-unwritable", str(error)))
        return _answer({"results": results})

    def current(request: Request) -> JSONResponse:
        params = request.query_params
        try:
            kind, round_ = params.get("kind"), _round(params.get("round"))
            if "who" not in params or (kind is not None and kind not in KINDS):
                raise _Refused(400, f"expected who, and kind as one of {', '.join(KINDS)}")
            targets = params.getlist("target") or None
            found = explorer.verdicts.current(kind, params["who"], round_, targets=targets)
        except _Refused as refused:
            return _answer({"error": refused.reason}, status=refused.status)
        except VerdictLogError as error:
            return _told(state("log-unwritable", str(error)))
        return _answer({"current": [event.to_json() for event in found]})

    def queue(request: Request) -> JSONResponse:
        params = request.query_params
        filters, notices = Filters.from_params({name: params.getlist(name) for name in params})
        try:
            asked = Queue(
                filters=filters,
                who=params.get("who") or explorer.reviewer,
                round=_round(params.get("round")) or 1,
                which="all" if params.get("which") == "all" else "todo",
            )
            if "count" in params:
                return _answer({"count": asked.slice(explorer).count()})
            items, after = asked.page(explorer, after=params.get("after"))
        except _Refused as refused:
            return _answer({"error": refused.reason}, status=refused.status)
        except QueryError as error:
            return _answer({"error": str(error)}, status=400)
        except VerdictLogError as error:
            return _told(state("log-unwritable", str(error)))
        return _answer({"items": items, "after": after, "notices": [notice.text for notice in notices]})

    def times(request: Request) -> JSONResponse:
        try:
            return _answer(cut_times(explorer, int(request.path_params["clip_id"])))
        except StateError as error:
            return _told(error.state)

    def export(request: Request) -> Response:
        params = request.query_params
        try:
            kind, verdict, by = params.get("kind", "clip"), params.get("verdict"), params.get("by", "all")
            if kind not in KINDS or by not in ("all", "any") or verdict not in (None, *VERDICTS[kind]):
                raise _Refused(400, "expected kind, one of its verdicts, and by=all or by=any")
            return _export(explorer, request.path_params["name"], kind, verdict, by, params.get("who"))
        except _Refused as refused:
            return _answer({"error": refused.reason}, status=refused.status)
        except VerdictLogError as error:
            return _told(state("log-unwritable", str(error)))

    return [
        Route(PREFIX, post, methods=["POST"]),
        Route(f"{PREFIX}/current", current, methods=["GET"]),
        Route(f"{PREFIX}/queue", queue, methods=["GET"]),
        Route(PREFIX + "/export/{name}", export, methods=["GET"]),
        Route(PREFIX + "/times/{clip_id:int}", times, methods=["GET"]),
    ]


def cut_times(explorer: Explorer, clip_id: int) -> dict[str, float]:
    """Return where a clip's cut begins and ends in its video, in seconds of the file, half-open.

    Raises:
        StateError: there is no such clip, or why its video cannot be read.
    """
    from opens2v_explorer.player import frame_ranges

    clip, facts = explorer.media.clip(clip_id), explorer.media.facts(clip_id)
    cut = frame_ranges(clip, facts.num_frames)[0]
    at = getattr(facts, "pts_seconds", None)

    def seconds(frame: int) -> float:
        if at is not None and frame < len(at):
            return at[frame]
        return facts.pts0_seconds + frame / facts.fps

    return {"start": seconds(cut["start"]), "end": seconds(cut["end"]), "frame": 1 / facts.fps}


class _Refused(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _Refused(413, f"expected at most {MAX_BODY_BYTES:,} bytes of events; send fewer at a time")
    return bytes(body)


def _parsed(body: bytes) -> list[Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _Refused(400, "expected a JSON list of events") from error
    if not isinstance(found, list):
        raise _Refused(400, f"expected a JSON list of events, got {type(found).__name__}")
    return found


def _add(explorer: Explorer, events: list[Any]) -> list[dict[str, Any]]:
    """Log events; return what became of each, in their order."""
    added = explorer.verdicts.add(events)
    reasons = {one.index: one.reason for one in added.refused}
    return [
        {
            "event_id": given.get("event_id") if isinstance(given, Mapping) else None,
            "status": status,
            **({"reason": reasons[index]} if index in reasons else {}),
        }
        for index, (given, status) in enumerate(zip(events, added.statuses, strict=True))
    ]


def _export(explorer: Explorer, name: str, kind: Kind, verdict: str | None, by: By, who: str | None) -> Response:
    store = explorer.verdicts
    stem = "-".join((kind, verdict or "judged", by))
    if name == "events":
        return _file(StreamingResponse(event_lines(store), media_type="application/x-ndjson"), "verdicts.jsonl")
    if name not in ("slice", "keys"):
        raise _Refused(404, f"expected slice, keys or events, got {name[:20]!r}")
    keys = clip_keys(kind, chosen_targets(store, kind, verdict, by=by, who=who))
    if name == "keys":
        return _file(PlainTextResponse(key_lines(keys)), f"{stem}.txt")
    data = slice_bytes(explorer.catalog, keys)
    return _file(Response(data, media_type="application/vnd.apache.parquet"), f"{stem}.slice.parquet")


def _file(response: Response, name: str) -> Response:
    # The name is made of words of ours alone.
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _round(text: str | None) -> int | None:
    if text not in (None, "1", "2"):
        raise _Refused(400, f"round must be 1 or 2, got {text[:20]!r}")
    return None if text is None else int(text)


def _answer(value: Mapping[str, Any], *, status: int = 200) -> JSONResponse:
    return JSONResponse(value, status_code=status, headers=_NO_STORE)


def _told(found: State) -> JSONResponse:
    return JSONResponse(found.as_json(), status_code=found.status, headers={**_NO_STORE, "X-State": found.code})
