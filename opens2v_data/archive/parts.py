"""What a part is and how to read it: the address space of its joined pieces, and its members."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from opens2v_data.archive.names import name_fault
from opens2v_data.errors import ArchiveError, MissingPieceError

if TYPE_CHECKING:
    from opens2v_data.archive.stores import Store

Layout = Literal["split-tar", "tar", "files"]
"""A tar cut into pieces, one whole tar, or videos already unpacked into the part's folder."""


class Span(NamedTuple):
    """A range inside one piece.

    Attributes:
        path: the piece, below the release.
        start: first byte, in the piece.
        length: bytes.
    """

    path: str
    start: int
    length: int


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One file of a part's tar.

    Attributes:
        path: below the release.
        size_bytes: as recorded when the part was listed.
    """

    path: str
    size_bytes: int

    def __post_init__(self) -> None:
        if self.size_bytes < 0:
            raise ValueError(f"piece {self.path}: size_bytes must not be negative, got {self.size_bytes}")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the release, as bytes.

    The pieces, joined in order, are the tar; offsets are counted in the joined tar. Pieces are cut anywhere, also
    inside a header (a piece's size need not be a multiple of 512):

        joined    0        512                    1,400,002                 total
        tar       ├ header ┼ payload ············ · ···┤pad├ header ┼ pay··· ┤
        pieces    ├──── .split.000 ────┼──── .split.001 ────┼─ .split.002 ───┤

    Attributes:
        name: e.g. `total_part1`.
        layout: see `Layout`.
        pieces: in joining order; exactly one for "tar", none for "files".
        root: folder of the unpacked videos below the release; for "files" only.
    """

    name: str
    layout: Layout
    pieces: tuple[Piece, ...] = field(default=(), repr=False)
    root: str = ""

    def __post_init__(self) -> None:
        if self.layout not in get_args(Layout):
            raise ValueError(f"part {self.name}: layout must be one of {get_args(Layout)}, got {self.layout!r}")
        if self.layout == "split-tar" and not self.pieces:
            raise ValueError(f"part {self.name}: a split tar needs at least one piece, got none")
        if self.layout == "tar" and len(self.pieces) != 1:
            raise ValueError(f"part {self.name}: a tar is exactly one piece, got {len(self.pieces)}")
        if len({piece.path for piece in self.pieces}) < len(self.pieces):
            raise ValueError(f"part {self.name}: a piece is listed twice in {[piece.path for piece in self.pieces]}")
        if self.layout == "files" and (self.pieces or not self.root):
            raise ValueError(
                f"part {self.name}: unpacked files need a root and no pieces, "
                f"got root {self.root!r} and {len(self.pieces)} pieces"
            )

    @property
    def size_bytes(self) -> int:
        """Size of the joined tar; 0 for unpacked files."""
        return self._ends[-1] if self._ends else 0

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(piece.size_bytes for piece in self.pieces))

    def spans(self, offset: int, length: int) -> list[Span]:
        """Return the pieces' ranges that make up a range of the joined tar, in order, at most one per piece.

        Raises:
            MissingPieceError: the range reaches past the last piece.
        """
        if offset < 0 or length < 0:
            raise ValueError(f"offset and length must not be negative, got offset {offset} and length {length}")
        end = offset + length
        if end > self.size_bytes:
            raise MissingPieceError(
                f"part {self.name}: bytes {offset} to {end} reach past the {self.size_bytes} bytes of its "
                f"{len(self.pieces)} pieces; download the missing pieces, or use the index made from these ones"
            )
        spans: list[Span] = []
        index = bisect_right(self._ends, offset)
        while offset < end:
            piece, piece_end = self.pieces[index], self._ends[index]
            length_here = min(end, piece_end) - offset
            if length_here:
                spans.append(Span(piece.path, offset - (piece_end - piece.size_bytes), length_here))
            offset += length_here
            index += 1
        return spans

    def where(self, offset: int) -> str:
        """Describe a byte of the joined tar for a message: part, offset, piece and offset in the piece."""
        place = f"part {self.name}, byte {offset}"
        if not 0 <= offset < self.size_bytes:
            return f"{place} (outside its {self.size_bytes} bytes)"
        span = self.spans(offset, 1)[0]
        return f"{place} (piece {span.path}, byte {span.start})"


class PartReader:
    """Reads bytes and members of one part from a store; keep one per part, threads may share it.

    A piece's size is compared with the recorded one before its first bytes are used.
    """

    def __init__(self, store: Store, part: Part) -> None:
        self.store = store
        self.part = part
        self._unchecked = {piece.path: piece.size_bytes for piece in part.pieces}

    def __repr__(self) -> str:
        return f"PartReader({self.store!r}, {self.part!r})"

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the joined tar, with one call to the store per piece touched.

        Raises:
            MissingPieceError: a piece is not there, has another size than recorded, or the range passes the end.
            ShortReadError: the store gave fewer bytes than a piece should have.
        """
        chunks: list[bytes] = []
        for path, start, length_here in self.part.spans(offset, length):
            self._check_piece(path)
            try:
                chunks.append(self.store.read_range(path, start, length_here))
            except ArchiveError as error:
                raise error.at(self.part.where(offset)) from error
            offset += length_here
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def read_member(self, *, name: str, size_bytes: int, offset: int = 0) -> bytes:
        """Return a member's bytes, whatever the part's layout.

        Args:
            name: as the index gives it; a name that would leave the part's folder is refused.
            size_bytes: the member's size.
            offset: its first byte in the joined tar; 0 for unpacked files.

        Raises:
            ArchiveError: the name is refused.
            MissingPieceError: a piece (or the unpacked file) is not there or has another size than recorded.
            ShortReadError: the store gave fewer bytes than asked for.
        """
        if fault := name_fault(name):
            raise ArchiveError(f"part {self.part.name}: member name {name!r} is refused: {fault}; fix it in the index")
        if self.part.layout != "files":
            return self.read(offset, size_bytes)
        if offset:
            raise ValueError(f"part {self.part.name}, member {name}: unpacked files start at offset 0, got {offset}")
        path = f"{self.part.root}/{name}"
        try:
            found = self.store.size(path)
        except ArchiveError as error:
            raise error.at(f"part {self.part.name}, member {name}") from error
        if found != size_bytes:
            raise MissingPieceError(
                f"part {self.part.name}, member {name}: {path} has {found} bytes, the index says {size_bytes}; "
                "unpack it again, or index the part anew"
            )
        return self.store.read_range(path, 0, size_bytes)

    def check_pieces(self) -> None:
        """Make sure that every piece is there with its recorded size.

        Raises:
            MissingPieceError: one is not.
        """
        for piece in self.part.pieces:
            self._check_piece(piece.path)

    def _check_piece(self, path: str) -> None:
        recorded = self._unchecked.get(path)
        if recorded is None:
            return
        try:
            found = self.store.size(path)
        except ArchiveError as error:
            raise error.at(f"part {self.part.name}") from error
        if found != recorded:
            raise MissingPieceError(
                f"part {self.part.name}: piece {path} has {found} bytes, recorded were {recorded}. Its download is "
                "unfinished, or it was uploaded anew and every offset behind it has shifted: finish the download, "
                "or pin the commit that was indexed, or index the part anew"
            )
        self._unchecked.pop(path, None)
