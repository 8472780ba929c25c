"""Which headers lie in a tar, found by asking for a few bytes per member.

`walk` asks for byte ranges and is fed them, so the same code runs on a disk, over HTTP and in tests. It finds
*physical* elements only; `members.fold` makes names and members of them:

    header  payload     header      payload               header  payload
    ├─ L ──┼ long name ┼ file '0' ──┼ mp4 ······ ┤pad├ x ─┼ "size=…" ┼ file '0' ┼ mp4 ···· ┤pad├ 0 0 0 …
    └ element ────────┘└ element ─────────────────┘└ element ────────┘└ element ────────────┘ end marker
    └ one member ──────────────────────────────────┘└ one member ───────────────────────────┘

Elements start at multiples of 512 in the joined tar, wherever its pieces are cut. A walk may start at any of them:
chains that start in the middle can be joined to the chain from byte 0 where that one comes to a place they passed,
provided that the element before is no extension (an `x` can change the size of the next element).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from opens2v_data.archive.tarheader import BLOCK_BYTES, ZERO_BLOCK, HeaderFault, parse_header, parse_pax, pax_size
from opens2v_data.errors import TarFormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

EXTENSIONS = frozenset((b"L", b"K", b"x", b"X", b"g"))
"""Elements that describe the next one: GNU long name and link, PAX, Solaris' PAX, PAX for all that follow."""

HEAD_BYTES = 1_024
"""How much of a payload comes with its header: `ftyp`, and often `moov`'s place, in the same request."""

MAX_EXTENSION_BYTES = 1 << 20
"""Longer names or PAX headers are refused: nobody writes them, and a hostile size must not fill the memory."""

_WITHOUT_PAYLOAD = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))  # whatever their size field says
_READ_AHEAD_BYTES = BLOCK_BYTES + HEAD_BYTES
_MAX_ZEROS_BYTES = 1 << 20
_ADVICE = "check that all pieces are there, in order and with the release's sizes, and download damaged ones again"


class Need(NamedTuple):
    """A range of the joined tar that the walk wants to be sent, exactly.

    Neighbouring needs overlap where members are small; a driver that keeps its last bytes saves requests.
    """

    start: int
    length: int


class Element(NamedTuple):
    """One physical header with its payload.

    Attributes:
        header_offset: of the header, in the joined tar.
        data_offset: of the payload's first byte.
        size_bytes: of the payload, with a PAX size applied; 0 for kinds that have none.
        typeflag: one byte; `0` and `5` for V7's files and folders.
        name_raw: bytes of the header's own name, with the USTAR prefix.
        head: an extension's whole payload; up to `HEAD_BYTES` of any other's.
    """

    header_offset: int
    data_offset: int
    size_bytes: int
    typeflag: bytes
    name_raw: bytes
    head: bytes

    @property
    def is_extension(self) -> bool:
        """Whether it describes the next element."""
        return self.typeflag in EXTENSIONS


class WalkEnd(NamedTuple):
    """How a walk ended.

    Attributes:
        offset: where a walk over more bytes would go on; at a truncated member that is its first header.
        is_truncated: the bytes end inside a member or its padding; whole members before it were given.
        has_end_marker: the last thing seen were zero blocks, as a finished tar has them.
    """

    offset: int
    is_truncated: bool
    has_end_marker: bool


def walk(
    total_bytes: int, *, start: int = 0, where: Callable[[int], str] = "byte {}".format
) -> Generator[Need | Element, bytes, WalkEnd]:
    """Find the elements of a tar.

    Yields a `Need`, which wants `.send(bytes)`, or an `Element`, which wants `next()`; `drive` does so. Zero blocks
    are passed over, also in the middle (concatenated tars).

    Args:
        total_bytes: size of the joined tar.
        start: where the first header is; a multiple of 512.
        where: describes an offset in messages (`Part.where`).

    Raises:
        TarFormatError: a block is no header, or an old GNU sparse file, or an extension that cannot be used.
    """
    if start % BLOCK_BYTES or start < 0:
        raise ValueError(f"headers start at multiples of {BLOCK_BYTES}, got start {start}")

    def unusable(offset: int, why: object) -> TarFormatError:
        return TarFormatError(f"{where(offset)}: {why}; {_ADVICE}")

    position = start
    group_start: int | None = None  # first extension of the coming element
    next_size: int | None = None  # which a PAX header gave the coming element
    ahead = _READ_AHEAD_BYTES
    has_end_marker = False

    while position + BLOCK_BYTES <= total_bytes:
        data = yield Need(position, min(ahead, total_bytes - position))

        if data.startswith(ZERO_BLOCK):
            if group_start is not None:
                raise unusable(group_start, "a long name or PAX header is followed by zeros, not by its member")
            num_zeros = len(data) - len(data.lstrip(b"\0"))
            position += num_zeros - num_zeros % BLOCK_BYTES
            has_end_marker = True
            ahead = min(4 * ahead, _MAX_ZEROS_BYTES)
            continue
        ahead = _READ_AHEAD_BYTES
        has_end_marker = False

        try:
            name_raw, size_bytes, typeflag = parse_header(data[:BLOCK_BYTES])
        except HeaderFault as fault:
            raise unusable(position, f"expected a tar header, but {fault}") from fault
        is_extension = typeflag in EXTENSIONS
        if typeflag == b"\0":
            typeflag = b"5" if name_raw.endswith(b"/") and group_start is None else b"0"
        if typeflag == b"S":
            raise TarFormatError(
                f"{where(position)}: {name_raw!r} is a GNU sparse file, whose bytes are not the video's; "
                "pack the part again without --sparse"
            )
        if not is_extension:
            if next_size is not None:
                size_bytes = next_size
            if typeflag in _WITHOUT_PAYLOAD:
                size_bytes = 0

        data_offset = position + BLOCK_BYTES
        if data_offset + size_bytes > total_bytes:
            return WalkEnd(position if group_start is None else group_start, True, False)

        if is_extension:
            if size_bytes > MAX_EXTENSION_BYTES:
                raise unusable(
                    position,
                    f"expected a name or PAX header of at most {MAX_EXTENSION_BYTES} bytes, found {size_bytes}",
                )
            head = data[BLOCK_BYTES : BLOCK_BYTES + size_bytes]
            if len(head) < size_bytes:
                head = yield Need(data_offset, size_bytes)
            if typeflag in (b"x", b"X", b"g"):
                try:
                    given_size = pax_size(parse_pax(head))
                except HeaderFault as fault:
                    raise unusable(position, fault) from fault
                if given_size is not None and typeflag == b"g":
                    raise unusable(position, "a PAX header gives all members one size")
                next_size = next_size if given_size is None else given_size
            if group_start is None and typeflag != b"g":
                group_start = position
        else:
            head = data[BLOCK_BYTES : BLOCK_BYTES + min(size_bytes, HEAD_BYTES)]
            group_start = next_size = None

        yield Element(position, data_offset, size_bytes, typeflag, name_raw, head)
        position = data_offset + size_bytes + -size_bytes % BLOCK_BYTES

    tail = b""
    if position < total_bytes:
        tail = yield Need(position, total_bytes - position)
    is_truncated = group_start is not None or position > total_bytes or any(tail)
    return WalkEnd(position if group_start is None else group_start, is_truncated, has_end_marker and not is_truncated)


def drive(
    steps: Generator[Need | Element, bytes, WalkEnd], read: Callable[[int, int], bytes]
) -> Generator[Element, None, WalkEnd]:
    """Feed a walk from `read(start, length)`; yield its elements and return how it ended."""
    try:
        step = next(steps)
        while True:
            if isinstance(step, Need):
                step = steps.send(read(step.start, step.length))
            else:
                yield step
                step = next(steps)
    except StopIteration as stop:
        return stop.value
