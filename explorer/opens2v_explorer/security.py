"""Who may ask the explorer, and what its pages may do: the outermost layer, around Streamlit's routes and our own.

Host            names this machine as it was bound to, so that a stranger's name for it (DNS rebinding) reads nothing
Origin          on websockets and whatever changes something: this explorer's own, so that other sites' pages change nothing
token           on our own POST routes: drawn anew each run and given to our pages only
answer headers  no other site may frame, embed or read; pages load nothing from elsewhere
"""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
import socket
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opens2v_explorer.states import state

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER = "X-Explorer-Token"

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?)(?::([0-9]{1,5}))?")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_STREAMLIT = "/_stcore/"
"""Below it Streamlit checks a token of its own (XSRF), and ours is unknown to its scripts."""

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
_NAMES = frozenset({b"content-security-policy", *(name for name, _ in _HEADERS)})


def content_security_policy(host: str, page: str = "") -> str:
    """Return what pages may load and run: nothing from elsewhere, and no script that was written into them.

    Args:
        host: as the browser called this explorer, with its port.
        page: Streamlit's own page; the scripts written into it are known by their digests.
    """
    inline = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    known = "".join(f" 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in inline)
    return "; ".join(
        (
            "default-src 'none'",
            # Streamlit gives the scripts of components to the browser as blobs.
            f"script-src 'self' blob:{known}",
            # Its styles are put into the page by script (Emotion), and ours stand in `style` attributes too.
            "style-src 'self' 'unsafe-inline' blob:",
            "img-src 'self' data: blob:",
            "media-src 'self' blob:",
            "font-src 'self' data:",
            # For older Firefox and Safari 'self' is no websocket.
            f"connect-src 'self' ws://{host} wss://{host}",
            "manifest-src 'self'",
            "worker-src 'self' blob:",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """Under which names this explorer answers, with any port: a tunnel may have another one.

    Attributes:
        names: lower case; IPv6 addresses in brackets.
        any_address: every IP address too. A page that was loaded under a name cannot make a browser send one.
    """

    names: frozenset[str] = LOOPBACK
    any_address: bool = False

    @classmethod
    def of(cls, bound: str, extra: Iterable[str] = ()) -> Hosts:
        """Return those of a bound address: itself, loopback, `extra`; where it is open to others, this machine's name too."""
        names = LOOPBACK | {_bracketed(bound.lower())} | {_bracketed(name.lower()) for name in extra}
        if is_loopback(bound):
            return cls(names=names)
        return cls(names=names | {socket.gethostname().lower()}, any_address=True)

    def admit(self, header: str | None) -> bool:
        """Say whether a request with such a Host header is answered."""
        found = None if header is None else _HOST.fullmatch(header.lower())
        if found is None or int(found[2] or 0) > 65535:
            return False
        return found[1] in self.names or (self.any_address and _is_address(found[1].strip("[]")))


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach a bound address."""
    return host.lower() == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


class Guard:
    """Refuses what did not come from this explorer's pages, and marks every answer. ASGI middleware.

    Args:
        app: what is guarded.
        hosts: see `Hosts`.
        token: what our own routes want of a request that changes something.
        page: Streamlit's, see `content_security_policy`.
    """

    def __init__(self, app: ASGIApp, *, hosts: Hosts, token: str, page: str = "") -> None:
        self.app = app
        self.hosts = hosts
        self._token = token.encode()
        self._policy = content_security_policy("{host}", page)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        reason = self._why_refused(scope)
        if scope["type"] == "websocket":
            if reason is None:
                await self.app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008, "reason": reason})  # before it was accepted: 403
            return

        # A host that was not admitted is not repeated.
        host = _header(scope, b"host")[0] if reason is None else "localhost"
        policy = self._policy.replace("{host}", host).encode("latin-1")

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message["headers"] if name.lower() not in _NAMES]
                message["headers"] = [*kept, *_HEADERS, (b"content-security-policy", policy)]
            await send(message)

        if reason is None:
            await self.app(scope, receive, marked)
        else:
            await _refuse(reason, marked)

    def _why_refused(self, scope: Scope) -> str | None:
        hosts = _header(scope, b"host")
        if len(hosts) != 1 or not self.hosts.admit(hosts[0]):
            return "The host that was asked for is not this explorer's; --allow-host NAME adds one."
        is_socket = scope["type"] == "websocket"
        if not is_socket and scope["method"] in _SAFE_METHODS:
            return None
        origins = _header(scope, b"origin")
        # Browsers send one with every websocket and every POST; programs need not with a websocket.
        has_own = len(origins) == 1 and urlsplit(origins[0]).netloc.lower() == hosts[0].lower()
        if not has_own and (origins or not is_socket):
            return "The request comes from another site, or from none."
        if is_socket or scope["path"].startswith(_STREAMLIT):
            return None
        tokens = _header(scope, TOKEN_HEADER.lower().encode())
        if len(tokens) != 1 or not secrets.compare_digest(tokens[0].encode("latin-1"), self._token):
            return f"Its {TOKEN_HEADER} is not the one of this run."
        return None


async def _refuse(reason: str, send: Send) -> None:
    refused = state("refused", reason)
    body = json.dumps(refused.as_json()).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-state", refused.code.encode()),
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _header(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
