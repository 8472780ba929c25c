"""Cross-video pairs as upstream writes them, in both its forms, made one.

current  {cur_id: "part/clip_key", cur_class_id: "2", cur_class_name, …}   in {cluster: [pair, …]} or [pair, …]
older    {cur_id: "clip_key", cur_class_name, …}                           no part, no class ids
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from opens2v_data.errors import ReleaseError
from opens2v_data.release.files import ReleaseFiles
from opens2v_data.release.hugejson import BadRegion, HugeObject
from opens2v_data.release.lenient import parse_leniently
from opens2v_data.release.records import FLOAT32_MAX, INT16_MAX, INT32_MAX

SMALL_FILE_BYTES = 64 << 20
"""A file that is a list (one cluster's pairs) is read whole; none is near this."""


class RawPair(msgspec.Struct, gc=False):
    cur_id: str
    aft_id: str
    cur_class_name: str = ""
    aft_class_name: str = ""
    cur_class_id: str | int | None = None
    aft_class_id: str | int | None = None
    text_similarity: float | None = None
    image_similarity: float | None = None
    cur_frame_idx: int | None = None
    aft_frame_idx: int | None = None


class PairRecord(msgspec.Struct, gc=False, frozen=True):
    """One pair. `ref` and `partner_ref` are upstream's ids; `part` is None in the older form, and so are the object ids."""

    ref: str
    partner_ref: str
    part: str | None
    key: str
    partner_part: str | None
    partner_key: str
    object_id: int | None
    partner_object_id: int | None
    class_name: str
    partner_class_name: str
    text_similarity: float | None
    image_similarity: float | None
    frame_idx: int | None
    partner_frame_idx: int | None


class PairBatch(msgspec.Struct, gc=False):
    """Pairs of one stretch of a file, and what could not be read."""

    pairs: list[PairRecord]
    bad: list[BadRegion]
    end: int


def read_pairs(files: ReleaseFiles, path: str) -> Iterator[PairBatch]:
    """Give the pairs of one file, `{cluster: [pair, …]}` of any size or a list of pairs.

    Yields:
        Batches; `end` is how far the file is read, in bytes.
    """
    head = bytearray(64)
    count = files.readinto(path, 0, memoryview(head))
    if bytes(head[:count]).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        yield _read_list(files, path)
        return
    try:
        huge = HugeObject(files, path, record_type=list[RawPair | str], decode_one=_decode_list)
    except ReleaseError as error:
        # One cluster's file, say of a download cut short, must not keep the catalog from being made.
        size = files.size(path)
        yield PairBatch([], [BadRegion(offset=0, length=size, key=None, reason=f"no pairs: {error}")], size)
        return
    for batch in huge.read():
        bad = list(batch.bad)
        pairs: list[PairRecord] = []
        for key, offset, records in zip(batch.keys, batch.offsets, batch.records, strict=True):
            _take(records, pairs, bad, key, offset)
        yield PairBatch(pairs, sorted(bad, key=lambda region: region.offset), batch.end)


def _read_list(files: ReleaseFiles, path: str) -> PairBatch:
    size = files.size(path)
    pairs: list[PairRecord] = []
    bad: list[BadRegion] = []
    if size > SMALL_FILE_BYTES:
        reason = f"a list of pairs of {size} bytes; only the object form {{cluster: [pair, …]}} may be this long"
        return PairBatch([], [BadRegion(offset=0, length=size, key=None, reason=reason)], size)
    data = files.read(path)
    try:
        records, _ = _decode_list(data)
    except ValueError as error:
        is_cut = not data.rstrip(b" \t\r\n").endswith(b"]")
        reason = "no whole list of pairs: the file ends before it does" if is_cut else str(error)
        return PairBatch([], [BadRegion(offset=0, length=size, key=None, reason=reason, is_truncated=is_cut)], size)
    _take(records, pairs, bad, None, 0)
    return PairBatch(pairs, bad, size)


def _take(
    records: Sequence[RawPair | str], pairs: list[PairRecord], bad: list[BadRegion], key: str | None, offset: int
) -> None:
    for index, raw in enumerate(records):
        try:
            if isinstance(raw, str):
                raise ValueError(raw)
            pairs.append(normalise_pair(raw))
        except ValueError as error:
            reason = f"{error} (pair {index} of its list)"
            bad.append(BadRegion(offset=offset, length=0, key=key, reason=reason))


def normalise_pair(raw: RawPair) -> PairRecord:
    """Make one shape of both forms.

    Raises:
        ValueError: a class id that is no small number, or a frame index out of range.
    """
    part, key = _split(raw.cur_id)
    partner_part, partner_key = _split(raw.aft_id)
    return PairRecord(
        raw.cur_id,
        raw.aft_id,
        part,
        key,
        partner_part,
        partner_key,
        _object_id(raw.cur_class_id),
        _object_id(raw.aft_class_id),
        raw.cur_class_name,
        raw.aft_class_name,
        _score(raw.text_similarity),
        _score(raw.image_similarity),
        _frame(raw.cur_frame_idx),
        _frame(raw.aft_frame_idx),
    )


def _split(ref: str) -> tuple[str | None, str]:
    part, slash, key = ref.rpartition("/")
    return (part if slash else None), key


def _object_id(value: str | int | None) -> int | None:
    if value is None or value == "":
        return None
    number = int(value)
    if not 0 <= number <= INT16_MAX:
        raise ValueError(f"expected a class id from 0 to {INT16_MAX}, found {value!r}")
    return number


def _score(value: float | None) -> float | None:
    # NaN written as a string comes as a float that is none; a float32 holds no larger ones.
    return value if value is not None and abs(value) <= FLOAT32_MAX else None


def _frame(value: int | None) -> int | None:
    if value is not None and not -1 <= value <= INT32_MAX:
        raise ValueError(f"expected a frame index of 0 or more, found {value}")
    return value


def _decode_list(value: bytes) -> tuple[list[RawPair | str], list[str]]:
    try:
        return [*_strict.decode(value)], []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            tree, quirks = parse_leniently(value)
            # One by one: an odd pair must not cost its whole list.
            return [_convert(pair) for pair in msgspec.convert(tree, list)], quirks
        except ValueError as error:
            raise ValueError(f"unexpected shape of pairs: {str(error)[:300]}") from error


def _convert(tree: object) -> RawPair | str:
    try:
        return msgspec.convert(tree, RawPair, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        return f"unexpected shape: {str(error)[:300]}"


_strict = msgspec.json.Decoder(list[RawPair])
