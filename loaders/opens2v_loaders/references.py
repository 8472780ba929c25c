"""Which packets does no other frame refer to, and which refer to no other? Then a decoder can leave them out, or begin there.

Read from the first slice's header byte, so that a packet the decoder gives no picture for is known to be lost, not
left out. `skip_frame="NONREF"` alone drops a damaged reference without a word (seen with H.264).

    packet, MP4 framing   length (1, 2 or 4 bytes) · NAL unit · length · NAL unit …
    H.264 header byte     forbidden 1 bit · nal_ref_idc 2 · nal_unit_type 5       (ITU-T H.264, 7.3.1)
    HEVC header byte      forbidden 1 bit · nal_unit_type 6 · layer, first bit    (ITU-T H.265, 7.3.1.2)
    H.264 slice header    first_mb_in_slice ue(v) · slice_type ue(v) …            (ITU-T H.264, 7.3.3)
    MPEG-4 part 2         … · 00 00 01 B6 · vop_coding_type 2 bits …              (ISO/IEC 14496-2, 6.2.5)
"""

from __future__ import annotations

# Sub-layer non-reference pictures: TRAIL_N, TSA_N, STSA_N, RADL_N, RASL_N, RSV_VCL_N10 to N14 (H.265, table 7-1).
_HEVC_UNREFERENCED = frozenset({0, 2, 4, 6, 8, 10, 12, 14})
_HEVC_IRAP = range(16, 24)  # BLA, IDR, CRA and two reserved (H.265, table 7-1)
_INTRA_SLICES = frozenset({2, 4, 7, 9})  # I and SI (H.264, table 7-6)
_VOP_START = b"\x00\x00\x01\xb6"
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


def refers_to_others(packet: bytes, codec: str, length_size: int | None) -> bool:
    """Return whether surely the packet's picture refers to others, so that decoding cannot begin there, whatever its mark says.

    Recovery points of a stream that is refreshed bit by bit are such pictures, and keyframes of H.264 to FFmpeg.
    """
    if codec == "mpeg4":
        at = packet.find(_VOP_START)
        return 0 <= at < len(packet) - 4 and packet[at + 4] >> 6 != 0
    at = 0
    while length_size is not None and at + length_size < len(packet):
        header = packet[at + length_size]
        if codec == "hevc" and header >> 1 & 63 < 32:
            return header >> 1 & 63 not in _HEVC_IRAP
        if codec == "h264" and header & 31 in (1, 5):
            return _slice_type(packet[at + length_size + 1 :][:9]) not in _INTRA_SLICES
        at += length_size + int.from_bytes(packet[at : at + length_size], "big")
    return False


def _slice_type(header: bytes) -> int:
    """Return the second number of a slice's header; both are Exp-Golomb: n zeros, then n + 1 bits that hold it and 1 more."""
    bits = f"{int.from_bytes(header, 'big'):0{8 * len(header)}b}"
    at = value = 0
    for _ in range(2):
        zeros = len(bits[at:]) - len(bits[at:].lstrip("0"))
        at += 2 * zeros + 1
        value = int(bits[at - zeros - 1 : at] or "1", 2) - 1
    return value
