"""What goes wrong, how often, and on which routes; the same every time for the same seed and order of requests."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from localhub.counts import ROUTES

if TYPE_CHECKING:
    from localhub.counts import Route


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Faults the server injects.

    Args:
        latency_seconds: wait before each answer.
        latency_jitter_seconds: added to it, uniform between 0 and this.
        slow_fraction: share of requests that wait longer by `slow_seconds`.
        slow_seconds: how much longer.
        bandwidth_bytes_per_second: pace of file bodies per connection; None is as fast as it goes.
        p503: share answered 503.
        p429: share answered 429 with Retry-After.
        retry_after_seconds: what that Retry-After says (whole seconds, rounded up, as the header wants).
        p_cut: share whose connection closes after a random part of the body (before the headers where there is no body).
        p_wrong_length: share of ranged answers that are a shorter range, with headers that agree with it.
        p_whole_file: share of ranged answers that ignore the range: 200 and the whole file.
        seed: of the draws; the n-th request of a route always draws the same.
        applies_to: routes; the others stay sound.
    """

    latency_seconds: float = 0.0
    latency_jitter_seconds: float = 0.0
    slow_fraction: float = 0.0
    slow_seconds: float = 0.0
    bandwidth_bytes_per_second: float | None = None
    p503: float = 0.0
    p429: float = 0.0
    retry_after_seconds: float = 1.0
    p_cut: float = 0.0
    p_wrong_length: float = 0.0
    p_whole_file: float = 0.0
    seed: int = 0
    applies_to: frozenset[Route] = frozenset({"api", "tree", "resolve", "cdn"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "applies_to", frozenset(self.applies_to))
        unknown = self.applies_to - set(ROUTES)
        if unknown:
            raise ValueError(f"applies_to names {sorted(unknown)}; the routes are {', '.join(ROUTES)}")
        for name in ("slow_fraction", "p503", "p429", "p_cut", "p_wrong_length", "p_whole_file"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        for name in ("latency_seconds", "latency_jitter_seconds", "slow_seconds", "retry_after_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.bandwidth_bytes_per_second is not None and self.bandwidth_bytes_per_second <= 0:
            raise ValueError(f"bandwidth_bytes_per_second must be above 0, got {self.bandwidth_bytes_per_second}")

    def to_json(self) -> dict[str, Any]:
        """Return the faults as plain values."""
        return asdict(self) | {"applies_to": sorted(self.applies_to)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Faults:
        """Build the faults from what `to_json` gave."""
        return cls(**{field.name: value[field.name] for field in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What happens to one request.

    Args:
        delay_seconds: wait before answering.
        refusal: 503, 429 or None.
        cut: share of the body after which the connection closes, or None.
        shorten: share of the range that is answered, or None for all of it.
        ignores_range: whether the whole file is answered.
        bandwidth_bytes_per_second: pace of the body, or None.
    """

    delay_seconds: float = 0.0
    refusal: int | None = None
    cut: float | None = None
    shorten: float | None = None
    ignores_range: bool = False
    bandwidth_bytes_per_second: float | None = None


SOUND = Fate()


class Fates:
    """Draws the fate of each request of a server; the count of requests starts anew with new faults."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._ordinals: Counter[Route] = Counter()

    def draw(self, route: Route) -> Fate:
        """Return what happens to the next request of a route."""
        faults = self.faults
        if route not in faults.applies_to:
            return SOUND
        self._ordinals[route] += 1
        draw = random.Random(f"{faults.seed}/{route}/{self._ordinals[route]}").random
        delay = faults.latency_seconds + draw() * faults.latency_jitter_seconds
        if draw() < faults.slow_fraction:
            delay += faults.slow_seconds
        # one draw decides between the faults, so that their shares add up and none hides behind another
        kind = draw()
        for name in ("p503", "p429", "p_cut", "p_wrong_length", "p_whole_file"):
            share = getattr(faults, name)
            if kind < share:
                break
            kind -= share
        else:
            name = ""
        return Fate(
            delay_seconds=delay,
            refusal={"p503": 503, "p429": 429}.get(name),
            cut=draw() if name == "p_cut" else None,
            shorten=draw() if name == "p_wrong_length" else None,
            ignores_range=name == "p_whole_file",
            bandwidth_bytes_per_second=faults.bandwidth_bytes_per_second,
        )
