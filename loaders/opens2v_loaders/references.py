"""Which packets does no other frame refer to? Then a decoder that does not want their picture can leave them out.

Read from the first slice's header byte, so that a packet the decoder gives no picture for is known to be lost, not
left out. `skip_frame="NONREF"` alone drops a damaged reference without a word (seen with H.264).

    packet, MP4 framing   length (1, 2 or 4 bytes) · NAL unit · length · NAL unit …
    H.264 header byte     forbidden 1 bit · nal_ref_idc 2 · nal_unit_type 5       (ITU-T H.264, 7.3.1)
    HEVC header byte      forbidden 1 bit · nal_unit_type 6 · layer, first bit    (ITU-T H.265, 7.3.1.2)
"""

from __future__ import annotations

# Sub-layer non-reference pictures: TRAIL_N, TSA_N, STSA_N, RADL_N, RASL_N, RSV_VCL_N10 to N14 (H.265, table 7-1).
_HEVC_UNREFERENCED = frozenset({0, 2, 4, 6, 8, 10, 12, 14})
# Where the length of a NAL unit's length stands in the codec's configuration record (ISO/IEC 14496-15).
_LENGTH_SIZE_AT = {"h264": 4, "hevc": 21}


def nal_length_size(codec: str, extradata: bytes | None) -> int | None:
    """Return how many bytes give a NAL unit's length; None where the stream is not H.264 or HEVC in MP4 framing."""
    at = _LENGTH_SIZE_AT.get(codec)
    if at is None or not extradata or len(extradata) <= at or extradata[0] != 1:
        return None
    return (extradata[at] & 3) + 1


def is_unreferenced(packet: bytes, codec: str, length_size: int | None) -> bool:
    """Return whether surely no other frame refers to the packet's; False where it cannot be told."""
    at = 0
    while length_size is not None and at + length_size < len(packet):
        header = packet[at + length_size]
        if codec == "h264" and 1 <= header & 31 <= 5:
            return header >> 5 & 3 == 0
        if codec == "hevc" and header >> 1 & 63 < 32:
            return header >> 1 & 63 in _HEVC_UNREFERENCED
        at += length_size + int.from_bytes(packet[at : at + length_size], "big")
    return False
