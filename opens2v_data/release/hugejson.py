r"""Read one JSON object of any size, `{key: value, …}`, from anywhere, in bounded memory.

No parser opens a 66 GB object, so none is asked to. Chunks of a megabyte or two are cut where one record ends and the next
begins, and each chunk, put between braces, is a small object that msgspec decodes at full speed:

    …"score": [0.99]}}}},\n    "clip_b": {\n        "metadata": {"cut": …}…},\n    "clip_c": {\n        "metadata"…
                       ^       ^------ start of a record                         ^       ^------ start of the next
                       comma                                                     this comma becomes the chunk's "}"

What a boundary between records is, and why it cannot be text inside a string, stands in `boundaries`. Only its depth is assumed.
`_is_nested_at` looks further where that matters: at the ends of a unit of work, and in chunks that do not decode.

Any partition of a file into units gives the same records: a unit owns the records that start in
`[resync(lo), resync(hi))`, and `resync` depends on the file alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Generic, TypeVar

import msgspec

from opens2v_data.errors import ReleaseError
from opens2v_data.release.boundaries import (
    SPACE,
    Member,
    before_space,
    boundaries,
    key_at,
    record_start,
    scan_members,
    shape_of,
    text_of,
)
from opens2v_data.release.files import ReleaseFiles

R = TypeVar("R")

CHUNK_BYTES = 3 << 18
"""Bytes in memory at a time: what stays in a core's cache. 256 KB, 512 KB, 1 MB, 2 MB took 54, 43, 46, 57 µs a record."""

MAX_RECORD_BYTES = 64 << 20
"""A region this long without a boundary is no record; it is quarantined unread."""

HEAD_BYTES = 64 << 10
"""Read to learn how records open."""

NESTED_LOOKAHEAD, NESTED_LOOKAHEAD_BYTES = 8, 2 << 20
"""How many members, and bytes, `_is_nested_at` looks through for the bracket that would close around a boundary."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRegion:
    """Bytes that gave no record.

    Attributes:
        offset, length: which, in bytes of the file.
        key: the record's key where it could be read.
        reason: why, in words.
        is_truncated: the file ends inside.
        num_records: records it counts as: 1, or 0 for bytes between records.
    """

    offset: int
    length: int
    key: str | None
    reason: str
    is_truncated: bool = False
    num_records: int = 1


@dataclass(slots=True)
class Batch(Generic[R]):
    """What one chunk gave, in file order.

    Attributes:
        keys, offsets, records: one entry per record; the offset is that of the key's opening quote.
        quirks: oddities met while parsing, per record.
        bad: what gave no record.
        end: offset of the first byte that is not of this chunk.
    """

    keys: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    records: list[R] = field(default_factory=list)
    quirks: list[list[str]] = field(default_factory=list)
    bad: list[BadRegion] = field(default_factory=list)
    end: int = 0


class HugeObject(Generic[R]):
    """One JSON object `{key: record, …}` in a file.

    Args:
        files, path: where it lies.
        record_type: what msgspec decodes each value to.
        decode_one: decodes one value leniently, raising `ValueError` with the reason when it cannot.
        chunk_bytes: bytes read at a time; memory is about this, more only for a record longer than it.

    Raises:
        ReleaseError: the file does not begin like `{"key": {"first": …`.
    """

    def __init__(
        self,
        files: ReleaseFiles,
        path: str,
        *,
        record_type: type[R],
        decode_one: Callable[[bytes], tuple[R, list[str]]],
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.path = path
        self.size_bytes = files.size(path)
        self._files = files
        self._decoder = msgspec.json.Decoder(dict[str, record_type])
        self._decode_one = decode_one
        self._chunk_bytes = chunk_bytes
        head = self._read(0, HEAD_BYTES)
        start = len(_BOM) if head.startswith(_BOM) else 0
        body = head[start:].lstrip(SPACE)
        self._body = len(head) - len(body)
        if not body.startswith(b"{"):
            raise ReleaseError(
                f'expected one JSON object {{"clip_key": {{…}}, …}} in {path}, found {head[:40]!r} at byte {self._body}; '
                "is this an annotation file?"
            )
        first = len(body) - len(body[1:].lstrip(SPACE))
        self.first_record = self._body + first if len(body) > 1 else self.size_bytes
        # None: the file is empty, or all of it of another kind; it is one region, read record by record.
        self.shape = shape_of(body, first)
        length = HEAD_BYTES
        while self.shape is None and length < min(self.size_bytes, MAX_RECORD_BYTES):
            length *= 16
            self.shape = shape_of(self._read(self._body, length), first)

    def resync(self, offset: int) -> int:
        """Return the offset of the first record that starts at or after `offset`; the file's size when none does."""
        if offset <= self.first_record:
            return self.first_record
        if self.shape is None:
            return self.size_bytes
        # Step back far enough that a key cut by `offset` is seen from its start: matching runs backwards from the first
        # inner key, over an opener, a colon, a key and a comma. A key does not get longer than this.
        position = max(self._body, offset - HEAD_BYTES)
        step = self._chunk_bytes
        while position < self.size_bytes:
            data = self._read(position, step + HEAD_BYTES)
            for start in boundaries(data, self.shape):
                if position + start >= offset and not self._is_nested_at(position + start):
                    return position + start
            if position + len(data) >= self.size_bytes:
                break
            position += step
        return self.size_bytes

    def read(self, lo: int = 0, hi: int | None = None) -> Iterator[Batch[R]]:
        """Give the records that start in `[resync(lo), resync(hi))`, chunk by chunk, in file order.

        Args:
            lo, hi: any byte offsets; the whole file by default.

        Yields:
            Batches; records + bad records = records in the range.
        """
        begin = self.resync(lo)
        end = self.size_bytes if hi is None or hi >= self.size_bytes else self.resync(hi)
        is_last = end >= self.size_bytes
        if begin >= end:
            if is_last and lo <= self.first_record:
                yield Batch(bad=[_truncated(self.size_bytes, b"")], end=end)
            return
        # buffer[1:filled] holds the file's bytes from `base`; byte 0 is lent to `_decode` for an opening brace.
        buffer = bytearray(1 + self._chunk_bytes)
        filled, base = 1, begin
        while base < end:
            if filled > 1 + len(buffer) // 2:
                buffer.extend(bytes(len(buffer)))
            want = min(len(buffer) - filled, end - base - (filled - 1))
            with memoryview(buffer) as view:
                got = self._files.readinto(self.path, base + filled - 1, view[filled : filled + want])
            if got < want:
                raise ReleaseError(
                    f"expected {want} bytes at {base + filled - 1} of {self.path}, found {got}: it changed while it was read"
                )
            filled += got
            reaches_end = base + filled - 1 >= end
            cut = filled if reaches_end else self._last_boundary(buffer, filled)
            batch = self._decode(buffer, cut, base, is_last=is_last and reaches_end) if cut > 1 else None
            if batch is None:
                while not reaches_end and cut > 1 and self._is_nested_at(base + cut - 1):
                    cut = self._last_boundary(buffer, cut)
                if cut <= 1 and filled < MAX_RECORD_BYTES:
                    continue
                cut = cut if cut > 1 else filled
                batch = self._decode_slowly(bytes(memoryview(buffer)[1:cut]), base, is_last=is_last and reaches_end)
            yield batch
            base += cut - 1
            buffer[1 : 1 + filled - cut] = buffer[cut:filled]
            filled -= cut - 1
            if len(buffer) > 1 + self._chunk_bytes and filled <= self._chunk_bytes // 2:
                del buffer[1 + self._chunk_bytes :]

    # -- decoding a chunk -------------------------------------------------------------------------------------------

    def _decode(self, buffer: bytearray, cut: int, base: int, *, is_last: bool) -> Batch[R] | None:
        """Decode `buffer[1:cut]`, whole records, in one go; None when it is not as plain as nearly all chunks are."""
        comma = before_space(buffer, cut) - 1
        if self.shape is None or comma <= 1 or buffer[comma] != (0x7D if is_last else 0x2C):  # "}" or ","
            return None
        starts = list(boundaries(buffer, self.shape, cut, first_at=1))
        # In place, since a copy would double the memory traffic: byte 0 becomes "{" and the last comma "}" for a moment.
        lent = buffer[comma]
        buffer[0], buffer[comma] = 0x7B, 0x7D
        try:
            with memoryview(buffer) as view, view[: comma + 1] as chunk:
                records = self._decoder.decode(chunk)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        finally:
            buffer[0], buffer[comma] = 0, lent
        # Fewer keys than boundaries: a key stands twice, which every parser hides. More: a record no boundary marks.
        if len(records) != len(starts) or not _same_keys(buffer, starts, records):
            return None
        return Batch(
            keys=list(records),
            offsets=[base + start - 1 for start in starts],
            records=list(records.values()),
            quirks=[[] for _ in starts],
            end=base + cut - 1,
        )

    def _decode_slowly(self, data: bytes, base: int, *, is_last: bool) -> Batch[R]:
        """Decode a chunk record by record; what is damaged goes up to the next boundary that can be trusted.

        A boundary is trusted when all between it and a trusted one is balanced, else when `_is_nested_at` does not object.
        Both depend on the file alone, so that any cutting into chunks and units gives the same records.
        """
        batch: Batch[R] = Batch(end=base + len(data))
        starts = list(boundaries(data, self.shape, first_at=0)) if self.shape is not None else []
        marked = set(starts)
        nested: dict[int, bool] = {}

        def next_trusted(after: int, before: int | None = None) -> int | None:
            for start in starts[bisect_right(starts, after) :]:
                if before is not None and start >= before:
                    return None
                if start not in nested:
                    nested[start] = self._is_nested_at(base + start)
                if not nested[start]:
                    return start
            return None

        lo = 0
        while lo < len(data):
            members, rest = scan_members(data, lo)
            # A lost quote turns strings inside out, and the scan may swallow whole records before brackets match again.
            swallowed = ((i, next_trusted(m.key_lo, m.value_hi)) for i, m in enumerate(members))
            index, resume = next(((i, start) for i, start in swallowed if start is not None), (len(members), None))
            reason = "brackets or quotes do not close before the next record"
            if resume is None:
                if rest >= len(data):
                    self._take(batch, data, members, base)
                    if is_last:
                        batch.bad.append(_truncated(base + len(data), b""))
                    break
                is_closed = data[rest] in b"}]"
                resume = next_trusted(rest)
                after = data[rest + 1 :].lstrip(SPACE)
                if is_closed and is_last and resume is None and not after.startswith((b"}", b"]", b",")):
                    self._take(batch, data, members, base)
                    if after:
                        offset = base + len(data) - len(after)
                        reason = f"bytes after the closing brace of the file: {after[:40]!r}"
                        batch.bad.append(
                            BadRegion(offset=offset, length=len(after), key=None, reason=reason, num_records=0)
                        )
                    break
                if is_closed:
                    # One bracket too many: the record it is in began at the last boundary, and closed too early.
                    reason = "a bracket closes that nothing opened"
                    while index > 0 and members[index - 1].key_lo not in marked:
                        index -= 1
                    index = max(0, index - 1)
            region_lo = members[index].key_lo if index < len(members) else rest
            self._take(batch, data, members[:index], base)
            region = data[region_lo : resume if resume is not None else len(data)]
            if resume is None and is_last:
                batch.bad.append(_truncated(base + region_lo, region))
            else:
                key = key_at(region, 0)
                batch.bad.append(BadRegion(offset=base + region_lo, length=len(region), key=key, reason=reason))
            lo = resume if resume is not None else len(data)
        return batch

    def _take(self, batch: Batch[R], data: bytes, members: list[Member], base: int) -> None:
        """Decode each member on its own; what does not decode is bad, with its reason."""
        for member in members:
            raw_key = data[member.key_lo : member.key_hi]
            key = text_of(raw_key)
            value = data[member.value_lo : member.value_hi]
            try:
                if key is None:
                    raise ValueError(f"expected a quoted clip key, found {raw_key[:40]!r}")
                record, quirks = self._decode_one(value)
            except ValueError as error:
                offset, length = base + member.key_lo, member.value_hi - member.key_lo
                batch.bad.append(BadRegion(offset=offset, length=length, key=key, reason=str(error)))
                continue
            batch.keys.append(key)
            batch.offsets.append(base + member.key_lo)
            batch.records.append(record)
            batch.quirks.append(quirks)

    # -- boundaries -------------------------------------------------------------------------------------------------

    def _last_boundary(self, buffer: bytearray, filled: int) -> int:
        if self.shape is None:
            return -1
        stop = filled
        while (at := buffer.rfind(self.shape.first, 0, stop)) > 0:
            start = record_start(buffer, at, self.shape)
            if start is not None and start > 1:
                return start
            stop = at + len(self.shape.first) - 1
        return -1

    def _is_nested_at(self, offset: int) -> bool:
        """Tell whether the boundary at `offset` lies deeper than a record: more brackets close than open before the end."""
        data = self._read(offset, NESTED_LOOKAHEAD_BYTES)
        members, rest = scan_members(data, 0, max_members=NESTED_LOOKAHEAD)
        if len(members) >= NESTED_LOOKAHEAD or rest >= len(data) or data[rest : rest + 1] != b"}":
            return False
        return bool(data[rest + 1 :].strip(SPACE)) or offset + len(data) < self.size_bytes

    def _read(self, offset: int, length: int) -> bytes:
        buffer = bytearray(max(0, min(length, self.size_bytes - offset)))
        got = self._files.readinto(self.path, offset, memoryview(buffer))
        return bytes(buffer[:got])


def split_bytes(size_bytes: int, unit_bytes: int) -> list[tuple[int, int]]:
    """Return the fewest half-open ranges of at most `unit_bytes` that cover a file, as even as bytes allow.

    Even, so that workers who take one each end together: with a short last one 4.2 GB took two workers 3% longer.
    """
    count = max(1, -(-size_bytes // unit_bytes))
    edges = [size_bytes * number // count for number in range(count + 1)]
    return list(pairwise(edges))


def _truncated(offset: int, torn: bytes) -> BadRegion:
    """Describe the end of a file that lacks its last brace; `torn` is the record that the end cuts, if it cuts one."""
    return BadRegion(
        offset=offset,
        length=len(torn),
        key=key_at(torn, 0) if torn.startswith(b'"') else None,
        reason="the file ends inside this record" if torn else 'the file ends before its last brace "}"',
        is_truncated=True,
        num_records=int(bool(torn)),
    )


def _same_keys(buffer: bytearray, starts: list[int], records: dict[str, R]) -> bool:
    """Check that the keys stand where the boundaries are: equal counts alone could be one too many and one too few."""
    return all(
        buffer.startswith(b'"%s"' % key.encode(), start) or key_at(buffer, start) == key
        for start, key in zip(starts, records, strict=True)
    )
