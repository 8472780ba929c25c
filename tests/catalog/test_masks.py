"""Mask blobs: what is packed comes back, and bytes that are none are refused."""

from __future__ import annotations

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.catalog import masks
from opens2v_data.catalog.masks import MAX_BLOB_BYTES, blob_file, pack_masks, unpack_masks
from opens2v_data.errors import CatalogDamagedError
from opens2v_data.release.records import MaskRecord

numbers = st.integers(0, 2**31 - 1)
mask_records = st.builds(
    MaskRecord,
    frame_idx=numbers,
    object_id=st.integers(0, 2**15 - 1),
    height=numbers,
    width=numbers,
    score=st.none() | st.floats(0, 1),
    counts=st.text(max_size=200),
)


def refusal(blob: bytes) -> str | None:
    """Return how the refusal of a blob begins, None when it is read."""
    try:
        unpack_masks(blob)
    except CatalogDamagedError as error:
        return str(error).partition(" (")[0]
    return None


BLOB = pack_masks([MaskRecord(0, n, 36, 64, 0.5, f"{n}" * 300) for n in range(20)])


@settings(deadline=None)
@given(st.lists(mask_records, max_size=20))
def test_masks_come_back_from_their_blob(records: list[MaskRecord]) -> None:
    assert unpack_masks(pack_masks(records)) == records


@pytest.mark.parametrize("num_bytes", [0, 10, 200, 300, 70_000, 1 << 20])
def test_blobs_of_any_size_say_how_long_they_are_unpacked(num_bytes: int) -> None:
    record = MaskRecord(0, 1, 2, 3, None, "x" * num_bytes)
    assert unpack_masks(pack_masks([record])) == [record]


def test_a_blob_is_a_zstd_frame_of_plain_messagepack() -> None:
    data = pa.input_stream(pa.py_buffer(BLOB), compression="zstd").read()
    assert msgspec.msgpack.decode(data)[3] == [0, 3, 36, 64, 0.5, "3" * 300]


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\0",
        b"\x28\xb5\x2f\xfd",
        b"garbage that is no frame",
        BLOB[:-1],
        BLOB[: len(BLOB) // 2],
        BLOB[:7],
        BLOB[1:],
        BLOB[:20] + b"\xff\xff\xff\xff" + BLOB[24:],
        pa.Codec("zstd").compress(b"\xc1 no messagepack", asbytes=True),
        pa.Codec("zstd").compress(msgspec.msgpack.encode({"a": 1}), asbytes=True),
        pa.Codec("zstd").compress(msgspec.msgpack.encode([[1, 2, 3]]), asbytes=True),
        pa.Codec("zstd").compress(msgspec.msgpack.encode([["0", 1, 2, 3, None, "x"]]), asbytes=True),
        b"\x28\xb5\x2f\xfd\xe0" + (MAX_BLOB_BYTES + 1).to_bytes(8, "little") + b"\0" * 20,
    ],
)
def test_bytes_that_are_no_blob_are_refused_with_what_was_found(blob: bytes) -> None:
    with pytest.raises(
        CatalogDamagedError, match=rf"expected a mask blob .*found {blob[:8].hex()}… of {len(blob)} bytes: .*verify"
    ):
        unpack_masks(blob)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.binary(max_size=60).map(b"\x28\xb5\x2f\xfd".__add__))
def test_any_bytes_are_a_blob_or_refused(blob: bytes) -> None:
    assert refusal(blob) in (None, "expected a mask blob")


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(BLOB) - 1), bit=st.integers(0, 7))
def test_a_blob_with_a_bit_turned_is_read_or_refused_but_nothing_else(at: int, bit: int) -> None:
    damaged = bytearray(BLOB)
    damaged[at] ^= 1 << bit
    assert refusal(bytes(damaged)) in (None, "expected a mask blob")


def test_blob_files_are_numbered() -> None:
    assert blob_file(7) == "masks/masks-00007.bin"
    assert masks.CELL_BYTES > 0
