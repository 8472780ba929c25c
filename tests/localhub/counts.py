"""What was asked of the server and what it sent, by route."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterator

Route = Literal["api", "tree", "resolve", "cdn", "upload"]
ROUTES: tuple[Route, ...] = get_args(Route)


@dataclass(frozen=True, kw_only=True)
class RouteCounts:
    """One route since the last reset.

    Args:
        num_requests: requests that arrived, refused ones included.
        num_bytes: bytes of bodies handed to sockets, without headers.
        statuses: answers by HTTP status; a request cut before its headers counts as status 0.
        max_concurrent: most requests in flight at one moment.
    """

    num_requests: int = 0
    num_bytes: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    max_concurrent: int = 0


@dataclass(frozen=True, kw_only=True)
class Counts:
    """All routes since the last reset.

    Args:
        api: repo info, refs, paths-info, whoami and whatever is not named below.
        tree: pages of listings.
        resolve: HEAD and GET of `/resolve/`.
        cdn: ranges and whole files from the second host.
        upload: everything that writes.
        cdn_with_token: requests that brought an Authorization header to the second host; must stay 0.
    """

    api: RouteCounts
    tree: RouteCounts
    resolve: RouteCounts
    cdn: RouteCounts
    upload: RouteCounts
    cdn_with_token: int = 0

    def __getitem__(self, route: Route) -> RouteCounts:
        return getattr(self, route)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Counts:
        """Build the counts from what `Tally.to_json` gave."""
        routes = {
            route: RouteCounts(**{**value[route], "statuses": {int(k): n for k, n in value[route]["statuses"].items()}})
            for route in ROUTES
        }
        return cls(**routes, cdn_with_token=value["cdn_with_token"])


class Tally:
    """The server's own running counts; one thread only."""

    def __init__(self) -> None:
        self.cdn_with_token = 0
        self._routes = {route: _Running() for route in ROUTES}

    @contextmanager
    def request(self, route: Route) -> Iterator[_Running]:
        """Count a request while it is in flight."""
        running = self._routes[route]
        running.num_requests += 1
        running.num_in_flight += 1
        running.max_concurrent = max(running.max_concurrent, running.num_in_flight)
        try:
            yield running
        finally:
            running.num_in_flight -= 1

    def reset(self) -> None:
        """Start again from zero; requests in flight stay in flight."""
        self.cdn_with_token = 0
        for running in self._routes.values():
            running.reset()

    def to_json(self) -> dict[str, Any]:
        """Return the counts as plain values."""
        routes = {
            route: {
                "num_requests": running.num_requests,
                "num_bytes": running.num_bytes,
                "statuses": dict(running.statuses),
                "max_concurrent": running.max_concurrent,
            }
            for route, running in self._routes.items()
        }
        return {**routes, "cdn_with_token": self.cdn_with_token}


class _Running:
    def __init__(self) -> None:
        self.num_in_flight = 0
        self.reset()

    def reset(self) -> None:
        self.num_requests = self.num_bytes = 0
        self.max_concurrent = self.num_in_flight
        self.statuses: Counter[int] = Counter()

    def sent(self, num_bytes: int) -> None:
        self.num_bytes += num_bytes
