"""A server that speaks OpenAI's API of chat completions, says what it is told to, and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the server says to one request.

    Attributes:
        content: of the message.
        refusal: of the message.
        finish: why the model stopped.
        status: of HTTP; an error other than 200 carries `error`.
        error: the error's fields.
        headers: more of them.
        body: instead of all that.
        hangs: say nothing until the server stops.
        drops: close the connection without a word.
    """

    content: str | None = None
    refusal: str | None = None
    finish: str = "stop"
    status: int = 200
    error: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    hangs: bool = False
    drops: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request: its path, headers in lower case, and body."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def content(self) -> list[dict[str, Any]]:
        """The parts of the user's message."""
        return self.body["messages"][0]["content"]


class OpenAiServer:
    """Answers by a list, and when that is used up by its last entry; on 127.0.0.1, at a free port.

    Args:
        replies: in the order of requests.
        waits_for: hold all answers back until so many requests are under way.
    """

    def __init__(self, *replies: Reply, waits_for: int = 1) -> None:
        self._replies: Sequence[Reply] = replies or (Reply(content="4"),)
        self.asked: list[Asked] = []
        self.most_in_flight = 0
        self.in_flight = 0
        self._waits_for = waits_for
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def base_url(self) -> str:
        """What a client is given."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def wait_for_requests(self, number: int) -> None:
        """Wait until so many have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.asked) >= number, timeout=120)

    def answer_now(self) -> None:
        """Hold answers back no longer."""
        with self._changed:
            self._waits_for = 0
            self._changed.notify_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _take(self, asked: Asked) -> Reply:
        with self._changed:
            reply = self._replies[min(len(self.asked), len(self._replies) - 1)]
            self.asked.append(asked)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most_in_flight >= self._waits_for, timeout=120)
        return reply

    def _release(self) -> None:
        with self._changed:
            self.in_flight -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = server._take(Asked(path=self.path, headers=headers, body=body))
                try:
                    self._say(reply)
                finally:
                    server._release()

            def _say(self, reply: Reply) -> None:
                if reply.hangs:
                    server._stopped.wait(300)
                if reply.hangs or reply.drops:
                    self.close_connection = True
                    return
                data = reply.body if reply.body is not None else json.dumps(_spoken(reply)).encode()
                self.send_response(reply.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                return

        return Handler


def _spoken(reply: Reply) -> dict[str, Any]:
    if reply.status != 200:
        return {"error": {"message": "no", "type": "error", "param": None, "code": None, **reply.error}}
    message = {"role": "assistant", "content": reply.content, "refusal": reply.refusal}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "judge-2026",
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish, "logprobs": None}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 5, "total_tokens": 1005},
    }
