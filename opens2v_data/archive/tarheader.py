"""One 512-byte tar header and the records of a PAX header, as they lie in the bytes.

    byte   0        100    124    136     148      156    157        257     265         345      500  512
           ├ name ──┼ ···· ┼ size ┼ mtime ┼ chksum ┼ type ┼ linkname ┼ magic ┼ owner ··· ┼ prefix ┼ ·· ┤
    USTAR  at 257 `ustar\\0` + `00`;  the name is prefix/name
    GNU    at 257 `ustar  \\0`;       other things lie where USTAR has the prefix
    V7     no magic;                 type is NUL, a folder's name ends in `/`

Numbers are octal digits, or big-endian base 256 when the first byte is 0x80 (sizes from 8 GiB on).
"""

from __future__ import annotations

from typing import NamedTuple

BLOCK_BYTES = 512
ZERO_BLOCK = bytes(BLOCK_BYTES)


class HeaderFault(ValueError):
    """Why bytes are no tar header or no PAX record; whoever knows the place makes a TarFormatError of it."""


class Header(NamedTuple):
    """What a walk needs of a header.

    Attributes:
        name_raw: the name's bytes, with the USTAR prefix.
        size_bytes: the size field, as written.
        typeflag: one byte.
    """

    name_raw: bytes
    size_bytes: int
    typeflag: bytes


def parse_header(block: bytes) -> Header:
    """Read one header block.

    Raises:
        HeaderFault: the checksum or the size field is wrong.
    """
    recorded = _number(block[148:156], "checksum")
    unsigned = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if recorded != unsigned:
        # Some old tars summed the bytes as signed chars.
        signed = unsigned - 256 * sum(byte > 127 for byte in block[:148] + block[156:])
        if recorded != signed:
            raise HeaderFault(f"the checksum field says {recorded}, the bytes sum to {unsigned}")
    name = until_nul(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = until_nul(block[345:500]) + b"/" + name
    return Header(name, _number(block[124:136], "size"), block[156:157])


def parse_pax(payload: bytes) -> dict[bytes, bytes]:
    """Read the records of a PAX header, each `"<length> <key>=<value>\\n"` with the length of the whole record.

    Raises:
        HeaderFault: a record is malformed.
    """
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(payload) and payload[position]:  # some writers pad with NUL
        digits, space, _ = payload[position : position + 20].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        record = payload[position + len(digits) + 1 : position + length]
        key, equals, value = record.partition(b"=")
        if not key or not equals or not value.endswith(b"\n") or position + length > len(payload):
            raise HeaderFault(f"byte {position} of the PAX header does not start a '<length> <key>=<value>' record")
        records[key] = value[:-1]
        position += length
    return records


def pax_size(records: dict[bytes, bytes]) -> int | None:
    """Return the size that PAX records give the next member, or None.

    Raises:
        HeaderFault: it is not a number.
    """
    digits = records.get(b"size")
    if not digits:
        return None
    if not digits.isdigit() or len(digits) > 20:
        raise HeaderFault(f"the PAX size is {digits[:40]!r}, not a number of bytes")
    return int(digits)


def until_nul(field: bytes) -> bytes:
    """Return the bytes before the first NUL."""
    return field.partition(b"\0")[0]


def _number(field: bytes, what: str) -> int:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = until_nul(field).strip(b" ")
    if digits.strip(b"01234567"):
        raise HeaderFault(f"the {what} field is {field!r}, not a number")
    return int(digits or b"0", 8)
