"""Which ranges to ask for: clips made spans of pieces, and neighbours put together.

wanted      a.mp4            b.mp4                    c.mp4
tar         ┤ payload ├pad+h┤ payload ├ ··· gap ··· ┤ payload ····├
pieces      ├──────────── .split.000 ───────────────────┼─ .split.001 ──
requests    [ a            b ]            [ c, first   ][ c, rest ]
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from opens2v_data.archive.members import starts_like_mp4
from opens2v_data.archive.names import name_fault
from opens2v_data.archive.parts import Span
from opens2v_data.errors import ArchiveError, MissingPieceError

if TYPE_CHECKING:
    from opens2v_data.archive.parts import Part
    from opens2v_data.archive.stores import Buffer
    from opens2v_data.archive.wanted import Delivered, Failed, FetchOptions, Wanted

_MAX_GAP_SHARE = 0.008
"""A slice may cost 1% more than its bytes. Gaps get 0.8% of it: the 1.0 to 1.5 kB between neighbours of 190 kB or more."""


class Clip:
    """A wanted clip on its way.

    Attributes:
        wanted: as asked for.
        spans: its ranges, one per piece; none for a clip of no bytes, or one that is refused.
        chunks: the bytes of each, once there.
        num_missing: chunks that are not.
        deadline: by its clock; None while it is in line.
        num_opening: requests of it that wait for the size of their piece.
        opening_until: deadline of these.
        still_before: for how long the crew's clocks had stood still when its own began; its clock is the monotonic one less what
            came on top of that. None while it is in line.
        num_failed_checks: how often its bytes were wrong.
        result: how it ended; None while it has not.
    """

    __slots__ = (
        "chunks",
        "deadline",
        "num_failed_checks",
        "num_missing",
        "num_opening",
        "opening_until",
        "result",
        "spans",
        "still_before",
        "wanted",
    )

    def __init__(self, wanted: Wanted, spans: list[Span]) -> None:
        self.wanted = wanted
        self.spans = spans
        self.deadline: float | None = None
        self.num_opening = 0
        self.opening_until = 0.0
        self.still_before: float | None = None
        self.num_failed_checks = 0
        self.result: Delivered | Failed | None = None
        self.chunks: list[Buffer] = []
        self.num_missing = 0
        self.forget()

    @property
    def num_bytes(self) -> int:
        """Bytes that it takes in memory: none for one that is refused."""
        return self.wanted.size_bytes if self.spans else 0

    def forget(self) -> None:
        """Begin anew, without any bytes."""
        self.chunks = [b""] * len(self.spans)
        self.num_missing = len(self.spans)

    def requests(self) -> list[Request]:
        """Return requests for this clip alone."""
        return [Request(self, index) for index in range(len(self.spans))]


class Share(NamedTuple):
    """What a clip gets of a request.

    Attributes:
        clip: whose bytes.
        span_index: which of the clip's spans.
        start: first byte, in the request.
        length: bytes.
    """

    clip: Clip
    span_index: int
    start: int
    length: int


class Request:
    """One range of one piece, for one clip or several.

    Attributes:
        part: of the piece.
        path: the piece, or the unpacked file.
        start: first byte, in the piece.
        length: bytes.
        shares: what of it goes where, in ascending order.
        num_live: how many threads are at it.
        is_hedged: it was sent a second time.
        is_settled: answered, or of no use any more.
    """

    __slots__ = ("is_hedged", "is_settled", "length", "num_live", "part", "path", "shares", "start")

    def __init__(self, clip: Clip, index: int) -> None:
        span = clip.spans[index]
        self.part: Part = clip.wanted.part
        self.path, self.start, self.length = span
        self.shares = [Share(clip, index, 0, span.length)]
        self.num_live = 0
        self.is_hedged = False
        self.is_settled = False

    @property
    def end(self) -> int:
        """The byte behind the last, in the piece."""
        return self.start + self.length

    @property
    def num_payload_bytes(self) -> int:
        """The bytes that go to clips."""
        return sum(share.length for share in self.shares)

    def is_wanted(self) -> bool:
        """Say whether a clip still waits for it."""
        return not self.is_settled and any(share.clip.result is None for share in self.shares)

    def extend(self, clip: Clip, index: int) -> None:
        """Ask for a later span too, and for what lies between."""
        span = clip.spans[index]
        self.length = span.start + span.length - self.start
        self.shares.append(Share(clip, index, span.start - self.start, span.length))

    def split(self) -> list[Request]:
        """Return a request for each clip's bytes alone."""
        return [Request(share.clip, share.span_index) for share in self.shares if share.clip.result is None]


class Planner:
    """Makes requests of clips, in their order, and puts neighbours together.

    Two spans share a request if the second follows the first in the same piece with a small gap, and gaps stay below 0.8% of all
    bytes planned so far. In index order a gap is a header and padding, and full requests come of it; under a shuffle 4 in 1,000
    neighbours lie within 1 MB.

    Args:
        options: see `FetchOptions`.
    """

    def __init__(self, options: FetchOptions) -> None:
        self._options = options
        self._last: Request | None = None
        self._num_bytes = 0
        self._num_gap_bytes = 0

    def add(self, clip: Clip) -> list[Request]:
        """Return the requests that are complete now; the last one waits for a neighbour."""
        complete: list[Request] = []
        self._num_bytes += clip.wanted.size_bytes
        for index, span in enumerate(clip.spans):
            last = self._last
            if last is not None and self._may_join(last, span):
                self._num_gap_bytes += span.start - last.end
                last.extend(clip, index)
                continue
            complete += self.flush()
            self._last = Request(clip, index)
        return complete

    def flush(self) -> list[Request]:
        """Return the request that waited for a neighbour, if there is one."""
        last, self._last = self._last, None
        return [] if last is None else [last]

    def _may_join(self, last: Request, span: Span) -> bool:
        gap = span.start - last.end
        return (
            span.path == last.path
            and 0 <= gap <= self._options.merge_gap_bytes
            and last.length + gap + span.length <= self._options.max_merged_bytes
            and self._num_gap_bytes + gap <= _MAX_GAP_SHARE * self._num_bytes
        )


def spans_of(wanted: Wanted, *, max_bytes: int) -> list[Span]:
    """Return the ranges of a clip.

    Raises:
        ArchiveError: the index says of it what cannot be, or it is larger than allowed.
        MissingPieceError: it reaches past the part's last piece.
    """
    part, size = wanted.part, wanted.size_bytes
    if fault := name_fault(wanted.name):
        raise ArchiveError(
            f"part {part.name}: member name {wanted.name!r} is refused: {fault}; index the part anew, or leave it out"
        )
    if size < 0 or wanted.offset < 0 or (part.layout == "files" and wanted.offset):
        raise ArchiveError(
            f"part {part.name}, member {wanted.name}: offset {wanted.offset} with {size} bytes cannot be; index it anew"
        )
    try:
        spans = (
            [Span(f"{part.root}/{wanted.name}", 0, size)] if part.layout == "files" else part.spans(wanted.offset, size)
        )
    except MissingPieceError as error:
        raise error.at(f"member {wanted.name}") from None
    if size > max_bytes:
        raise ArchiveError(
            f"part {part.name}, member {wanted.name}: the index says {size} bytes, at most {max_bytes} may be in flight; "
            "if that is right, raise max_bytes_in_flight, else index the part anew"
        )
    return spans


def check_bytes(wanted: Wanted, data: Buffer) -> None:
    """Make sure that bytes are those of the clip, as far as the index tells.

    Raises:
        ArchiveError: they are others.
    """
    if len(data) != wanted.size_bytes:
        expected, found = f"{wanted.size_bytes} bytes", f"{len(data)}"
    elif wanted.has_ftyp and not starts_like_mp4(data):
        expected, found = "an mp4 ('ftyp' at byte 4)", f"{bytes(data[:8])!r}"
    elif wanted.sha256 is not None and (digest := hashlib.sha256(data).hexdigest()) != wanted.sha256.lower():
        expected, found = f"SHA-256 {wanted.sha256}", digest
    else:
        return
    raise ArchiveError(
        f"{place_of(wanted)}: expected {expected}, found {found}; the index is not of this upload (index it anew), or a proxy "
        "on the way changes bytes"
    )


def bare(error: ArchiveError) -> ArchiveError:
    """Return an error without its traceback, whose frames would keep other clips' bytes for as long as it is kept."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error


def place_of(wanted: Wanted) -> str:
    """Describe where a clip lies, for a message."""
    part = wanted.part
    return f"member {wanted.name}, {part.where(wanted.offset) if part.pieces else f'part {part.name}'}"
