"""Where every clip of a part lies: one pass over its headers, or over a list of unpacked files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opens2v_data.archive.members import Member, Refused, fold, members_of, starts_like_mp4
from opens2v_data.archive.names import name_fault, tidy_name
from opens2v_data.archive.parts import PartReader
from opens2v_data.archive.readahead import ReadAhead
from opens2v_data.archive.tarwalk import WalkEnd, drive, walk

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from opens2v_data.archive.parts import Part
    from opens2v_data.archive.stores import Store
    from opens2v_data.archive.tarwalk import Element

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""

_PROGRESS_EVERY_BYTES = 1 << 24


@dataclass(frozen=True, kw_only=True)
class PartIndex:
    """All members of a part.

    Attributes:
        members: in the order of the tar.
        refused: files whose names must not be used.
        skipped_by_kind: how many directories, links and so on there were.
        end_offset: where a walk over more bytes would go on; 0 for unpacked files.
        is_truncated: the tar ends inside a member, which is not listed.
        has_end_marker: the tar ends with zero blocks, as a finished one does; True for unpacked files.
    """

    members: tuple[Member, ...] = field(repr=False)
    refused: tuple[Refused, ...] = field(repr=False)
    skipped_by_kind: Mapping[str, int]
    end_offset: int
    is_truncated: bool
    has_end_marker: bool


class MemberScan:
    """The members of a part's tar one after another, in bounded memory; what else was found is told afterwards.

        scan = MemberScan(store, part)
        for member in scan: ...
        scan.refused, scan.skipped_by_kind, scan.end

    Iterating anew starts anew.

    Args:
        store: where the part's pieces lie; all are checked for their recorded size before the first member.
        part: of layout "split-tar" or "tar".
        progress: called every few megabytes and at the end.

    Attributes:
        refused: files so far whose names must not be used.
        skipped_by_kind: directories, links and so on so far.
        end: how the walk ended; None until it has.
    """

    def __init__(self, store: Store, part: Part, *, progress: Progress | None = None) -> None:
        if part.layout == "files":
            raise ValueError(f"part {part.name} holds unpacked files, not a tar; use index_files")
        self.part = part
        self._reader = PartReader(store, part)
        self._progress = progress
        self._clear()

    def __iter__(self) -> Iterator[Member]:
        """Yield the members in the order of the tar.

        Raises:
            TarFormatError: a header that is no tar header, or a sparse file; members before it were given.
            MissingPieceError: a piece is not there or has another size than recorded.
        """
        self._clear()
        self._reader.check_pieces()
        yield from members_of(
            fold(self._elements(), where=self.part.where),
            refused=self.refused,
            skipped_by_kind=self.skipped_by_kind,
        )

    def _elements(self) -> Generator[Element, None, None]:
        total_bytes = self.part.size_bytes
        ahead = ReadAhead(self._reader.read, total_bytes)
        reported = 0

        def read(start: int, length: int) -> bytes:
            nonlocal reported
            if self._progress and start - reported >= _PROGRESS_EVERY_BYTES:
                reported = start
                self._progress(start, total_bytes)
            return ahead.read(start, length)

        self.end = yield from drive(walk(total_bytes, where=self.part.where), read)
        if self._progress:
            self._progress(total_bytes, total_bytes)

    def _clear(self) -> None:
        self.refused: list[Refused] = []
        self.skipped_by_kind: Counter[str] = Counter()
        self.end: WalkEnd | None = None


def index_part(store: Store, part: Part, *, progress: Progress | None = None) -> PartIndex:
    """List the members of a part's tar; `MemberScan` gives them one by one.

    Args:
        store: where the part's pieces lie.
        part: of layout "split-tar" or "tar"; for "files" see `index_files`.
        progress: called with bytes done and bytes in all.

    Raises:
        TarFormatError: a header that is no tar header, or a sparse file.
        MissingPieceError: a piece is not there or has another size than recorded.
    """
    scan = MemberScan(store, part, progress=progress)
    members = tuple(scan)
    assert scan.end is not None  # the scan ran to its end
    return PartIndex(
        members=members,
        refused=tuple(scan.refused),
        skipped_by_kind=dict(scan.skipped_by_kind),
        end_offset=scan.end.offset,
        is_truncated=scan.end.is_truncated,
        has_end_marker=scan.end.has_end_marker,
    )


def index_files(part: Part, files: Iterable[tuple[str, int]], *, store: Store | None = None) -> PartIndex:
    """Make an index of unpacked files.

    Args:
        part: of layout "files".
        files: name below the part's folder and size in bytes, of each.
        store: look into each file for `ftyp` (one small read per file); None leaves `has_ftyp` unknown.
    """
    if part.layout != "files":
        raise ValueError(f"part {part.name} is a {part.layout}, not unpacked files; use index_part")
    members: list[Member] = []
    refused: list[Refused] = []
    for given_name, size_bytes in files:
        if fault := name_fault(given_name):
            printable = given_name.encode(errors="backslashreplace").decode()
            refused.append(Refused(name=printable, header_offset=None, reason=fault))
            continue
        name = tidy_name(given_name)
        has_ftyp = None
        if store is not None:
            has_ftyp = starts_like_mp4(store.read_range(f"{part.root}/{name}", 0, min(8, size_bytes)))
        members.append(Member(name=name, header_offset=None, offset=0, size_bytes=size_bytes, has_ftyp=has_ftyp))
    return PartIndex(
        members=tuple(members),
        refused=tuple(refused),
        skipped_by_kind={},
        end_offset=0,
        is_truncated=False,
        has_end_marker=True,
    )
