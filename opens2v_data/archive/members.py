"""Which members the physical elements of a tar are: names put together, files told from the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opens2v_data.archive.names import name_fault, tidy_name
from opens2v_data.archive.tarheader import parse_pax, until_nul
from opens2v_data.errors import TarFormatError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Iterator

    from opens2v_data.archive.tarwalk import Element

_KINDS = {
    b"1": "hard link",
    b"2": "symlink",
    b"3": "character device",
    b"4": "block device",
    b"5": "directory",
    b"6": "fifo",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file of a part.

    Attributes:
        name: in the tar, or below the part's folder; safe to use (see `name_fault`), without `./`. A tar can hold a
            name twice; when unpacked, the last one stays.
        header_offset: first header in the joined tar, its long name or PAX header included: a walk can start here.
            None for an unpacked file.
        offset: first byte in the joined tar; 0 for an unpacked file.
        size_bytes: of the file.
        has_ftyp: whether it starts like an mp4 (`ftyp` at byte 4); None when nobody looked.
    """

    name: str
    header_offset: int | None
    offset: int
    size_bytes: int
    has_ftyp: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A file whose name must not be used.

    Attributes:
        name: for people to read, with escapes for bytes that are no UTF-8.
        header_offset: first header in the joined tar; None for an unpacked file.
        reason: why, e.g. "it is absolute".
    """

    name: str
    header_offset: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """An element of a tar that holds no file: a directory, a link, a device.

    Attributes:
        header_offset: first header in the joined tar.
        kind: e.g. "directory", "symlink".
    """

    header_offset: int
    kind: str


def members_of(
    entries: Iterable[Member | Refused | Skipped], *, refused: list[Refused], skipped_by_kind: Counter[str]
) -> Iterator[Member]:
    """Give the members alone; add the refused and count the others."""
    for entry in entries:
        if isinstance(entry, Member):
            yield entry
        elif isinstance(entry, Refused):
            refused.append(entry)
        else:
            skipped_by_kind[entry.kind] += 1


def fold(
    elements: Iterable[Element], *, where: Callable[[int], str] = "byte {}".format
) -> Iterator[Member | Refused | Skipped]:
    """Put names and elements together, in the order of the tar.

    A PAX path goes before a GNU long name, and that before the header's own name.

    Args:
        elements: in tar order; not from the middle of a group.
        where: describes an offset in messages (`Part.where`).

    Raises:
        TarFormatError: a PAX sparse file.
    """
    for_all: dict[bytes, bytes] = {}
    for_next: dict[bytes, bytes] = {}
    long_name: bytes | None = None
    group_start: int | None = None

    for element in elements:
        if element.is_extension:
            if group_start is None and element.typeflag != b"g":
                group_start = element.header_offset
            if element.typeflag == b"L":
                long_name = until_nul(element.head)
            elif element.typeflag == b"g":
                for_all |= parse_pax(element.head)
            elif element.typeflag != b"K":
                for_next |= parse_pax(element.head)
            continue

        header_offset = element.header_offset if group_start is None else group_start
        name_raw = element.name_raw if long_name is None else long_name
        if for_all or for_next:
            records = for_all | for_next
            name_raw = records.get(b"path") or name_raw  # an empty value takes a record back
            if any(key.startswith(b"GNU.sparse.") for key in records):
                raise TarFormatError(
                    f"{where(header_offset)}: {name_raw!r} is a GNU sparse file, whose bytes are not the video's; "
                    "pack the part again without --sparse"
                )
        if element.typeflag in (b"0", b"7"):
            yield _file(name_raw, header_offset, element)
        else:
            yield Skipped(header_offset=header_offset, kind=_KINDS.get(element.typeflag, f"type {element.typeflag!r}"))
        for_next, long_name, group_start = {}, None, None


def starts_like_mp4(head: bytes | memoryview) -> bool:
    """Say whether the first bytes of a file are those of an mp4: a box of type `ftyp`."""
    return head[4:8] == b"ftyp"


def _file(name_raw: bytes, header_offset: int, element: Element) -> Member | Refused:
    try:
        name = name_raw.decode()
        fault = name_fault(name)
    except UnicodeDecodeError:
        fault = "it is not UTF-8"
        name = name_raw.decode(errors="backslashreplace")
    if fault:
        return Refused(name=name, header_offset=header_offset, reason=fault)
    return Member(
        name=tidy_name(name),
        header_offset=header_offset,
        offset=element.data_offset,
        size_bytes=element.size_bytes,
        has_ftyp=starts_like_mp4(element.head),
    )
