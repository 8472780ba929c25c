"""What fetching takes and gives: a clip that is wanted, how it ended, and how hard to try."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opens2v_data.archive.parts import Part
    from opens2v_data.archive.stores import Buffer
    from opens2v_data.errors import ArchiveError

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A member whose bytes are wanted, as the index describes it.

    Nothing is checked here: an index that others wrote may hold anything, and what cannot be read ends as `Failed`.

    Attributes:
        key: the caller's own name for it; never looked at.
        part: where it lies.
        name: of the member.
        offset: first byte in the joined tar; 0 for an unpacked file.
        size_bytes: of the member.
        sha256: of its bytes in hex, where known; then it is checked.
        has_ftyp: whether the index saw `ftyp` at byte 4; if True, that is checked.
    """

    key: Any
    part: Part = field(repr=False)
    name: str
    offset: int
    size_bytes: int
    sha256: str | None = None
    has_ftyp: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A clip that came, whole and checked.

    Attributes:
        wanted: as asked for.
        data: its bytes; with `FetchOptions.as_buffers` perhaps a `memoryview` of memory that is the store's.
    """

    wanted: Wanted
    data: Buffer = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A clip that did not come.

    Attributes:
        wanted: as asked for.
        error: why; a `DeadlineError` if time ran out.
    """

    wanted: Wanted
    error: ArchiveError

    @property
    def reason(self) -> str:
        """Why, for people to read."""
        return str(self.error)


@dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """How hard to try, and with how much at once.

    2 MB clips from a local server at 30 ms came at 49, 189 and 453 MB/s with 4, 16 and 64 requests at once. Over a line of
    500 MB/s and 30 ms 16 fill it and the pace stays there; where only latency costs time it goes to 128 within 300 clips.

    Attributes:
        min_concurrency: requests at once to begin with; never fewer.
        max_concurrency: never more. In between, what gives more bytes a second wins; see `pacing.Pace`.
        deadline_seconds: for a clip, from the start of its first request on; clips in line wait without a clock. For each
            64 KiB of the request a second is added, so that a line of 8 Mbit/s shared by 16 requests fails none. While the
            store sleeps because the server told it to, the clock stands still, for `open_seconds` in all.
        open_seconds: for a piece's size, which is asked for before its first bytes are used. On the Hub that may wait for
            the next window of its quota, 300 s.
        attempts: reads of a range, the first included, while errors are retryable. Few: stores over HTTP try again too.
        hedge_after: a request that takes longer than this multiple of what 95 in 100 similar ones took is sent a second
            time, and the first answer counts. At most 2 requests and 2% are. None: never.
        hedge_min_seconds: no request is sent a second time before.
        max_bytes_in_flight: of clips being fetched or waiting to be taken; a clip larger than this fails. While a clip of
            several pieces is joined, or a merged request is cut up, its bytes are in memory twice. With 256 MiB
            2 MB clips came no faster on two cores.
        merge_gap_bytes: clips of one piece that follow each other with at most so much between them share a request, as
            long as gaps stay below 0.8% of all bytes wanted so far. 0: only where they touch.
        max_merged_bytes: a request for several clips is no longer than this.
        as_buffers: give clips that come over HTTP as a `memoryview` of what was read, not copied into `bytes`: 0.1 CPU-s per GB
            less. For what writes or hashes them; PyAV and `BytesIO` would copy them after all.
    """

    min_concurrency: int = 16
    max_concurrency: int = 128
    deadline_seconds: float = 60.0
    open_seconds: float = 360.0
    attempts: int = 4
    hedge_after: float | None = 3.0
    hedge_min_seconds: float = 1.0
    max_bytes_in_flight: int = 128 * _MIB
    merge_gap_bytes: int = _MIB
    max_merged_bytes: int = 8 * _MIB
    as_buffers: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.min_concurrency <= self.max_concurrency:
            raise ValueError(
                "concurrency must be at least 1, and its minimum not above its maximum, "
                f"got {self.min_concurrency} to {self.max_concurrency}"
            )
        for name in ("attempts", "max_bytes_in_flight", "max_merged_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("deadline_seconds", "open_seconds", "hedge_min_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.merge_gap_bytes < 0:
            raise ValueError(f"merge_gap_bytes must not be negative, got {self.merge_gap_bytes}")
        if self.hedge_after is not None and self.hedge_after < 1:
            raise ValueError(f"hedge_after is a multiple of usual times, at least 1, or None; got {self.hedge_after}")


@dataclass(frozen=True, kw_only=True)
class FetchStats:
    """What a fetcher has done so far; `num_planned` is `num_delivered + num_failed` once an iterator has ended.

    Attributes:
        num_planned: clips taken from the iterables.
        num_delivered: clips given with their bytes.
        num_failed: clips given without.
        num_cache_hits: clips that came out of the cache.
        num_cached: clips that went into it.
        num_requests: ranges asked of the store.
        num_bytes: bytes that the store gave.
        num_wasted_bytes: of these, the ones nobody got: gaps, second answers, and clips that failed a check.
        num_retries: ranges asked for again after an error or a failed check.
        num_hedges: ranges asked for a second time because the first was slow.
        concurrency: how many requests may run at once now.
        max_bytes_in_flight: the most bytes of clips that were in flight at once.
    """

    num_planned: int = 0
    num_delivered: int = 0
    num_failed: int = 0
    num_cache_hits: int = 0
    num_cached: int = 0
    num_requests: int = 0
    num_bytes: int = 0
    num_wasted_bytes: int = 0
    num_retries: int = 0
    num_hedges: int = 0
    concurrency: int = 0
    max_bytes_in_flight: int = 0


@dataclass
class Tally:
    """The counts of `FetchStats` while threads add to them, under their lock."""

    num_planned: int = 0
    num_delivered: int = 0
    num_failed: int = 0
    num_cache_hits: int = 0
    num_cached: int = 0
    num_requests: int = 0
    num_bytes: int = 0
    num_wasted_bytes: int = 0
    num_retries: int = 0
    num_hedges: int = 0
    max_bytes_in_flight: int = 0
