"""Mask blobs: all masks of a clip in one self-contained piece of bytes.

A blob is one zstd frame (RFC 8878, content size in its header). Inside is one MessagePack array, an entry per mask:

    [[frame_idx, object_id, height, width, score, counts], …]
      int        int        int     int    float/nil  str, COCO compressed run lengths

Any zstd and any MessagePack library reads it. An Arrow IPC stream per clip was measured beside it on the real sample
(14-16 masks a clip): 245-830 µs to write and 13.5 kB against 54-57 µs and 12.6 kB, hence this.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pyarrow as pa

from opens2v_data.errors import CatalogDamagedError
from opens2v_data.release.records import MaskRecord

ZSTD_LEVEL = 1
"""Level 3 saves 2% for 35-70% more CPU (INGEST.md)."""

CELL_BYTES = 256 << 20
"""A blob file holds the blobs of the records that start in a stretch of this many bytes of one JSON file, some 70 MB of blobs.
The stretches follow from the JSON file alone, so that blob files are the same for any units of work; the default unit is one
stretch, and its blob file is taken over as it is."""

MAX_BLOB_BYTES = 1 << 30
"""No clip's masks are this large unpacked; a blob that says so is damaged."""

_codec = pa.Codec("zstd", compression_level=ZSTD_LEVEL)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[MaskRecord])


def pack_masks(masks: Sequence[MaskRecord]) -> bytes:
    """Return the blob of a clip's masks."""
    return _codec.compress(_encoder.encode(masks), asbytes=True)


def unpack_masks(blob: bytes) -> list[MaskRecord]:
    """Return the masks of a blob, in upstream's order.

    Raises:
        CatalogDamagedError: the bytes are no mask blob.
    """
    try:
        size = _content_size(blob)
        return _decoder.decode(_codec.decompress(blob, decompressed_size=size, asbytes=True))
    except (ValueError, OSError, IndexError) as error:
        raise CatalogDamagedError(
            f"expected a mask blob (zstd frame of MessagePack), found {blob[:8].hex()}… of {len(blob)} bytes: {error}; "
            "run: opens2v verify"
        ) from error


def blob_file(file_idx: int) -> str:
    """Return the path of a blob file below the catalog."""
    return f"masks/masks-{file_idx:05d}.bin"


def _content_size(blob: bytes) -> int:
    # RFC 8878, 3.1.1.1: magic, descriptor, [window], [dictionary id], content size.
    if blob[:4] != b"\x28\xb5\x2f\xfd":
        raise ValueError("no zstd magic")
    descriptor = blob[4]
    single, flag = descriptor >> 5 & 1, descriptor >> 6
    start = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    width = (single, 2, 4, 8)[flag]
    if not width:
        raise ValueError("no content size in the zstd frame")
    size = int.from_bytes(blob[start : start + width], "little") + (256 if flag == 1 else 0)
    if size > MAX_BLOB_BYTES:
        raise ValueError(f"content size {size} is not plausible")
    return size
