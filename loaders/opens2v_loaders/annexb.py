"""MP4's packets as a decoder wants them that has never seen the file's header: with start codes and parameter sets.

    in an MP4    length · NAL unit · length · NAL unit …                parameter sets stand in the header only
    here         0 0 0 1 · parameter set … · 0 0 0 1 · NAL unit · …     parameter sets before every keyframe

One decoder can then be kept and fed clip after clip; on an H100 a new one for every clip gives 13 clips/s, kept ones 120.
FFmpeg's `h264_mp4toannexb` repeats the sets only before IDR pictures, so a span that starts at the recovery point of an
open GOP would be decoded with the sets of the clip before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from av.packet import Packet

from opens2v_loaders.references import nal_length_size

if TYPE_CHECKING:
    from opens2v_loaders.container import OpenClip

_START_CODE = b"\x00\x00\x00\x01"


class AnnexBPackets:
    """A clip's packets, rewritten when they are asked for; codecs other than H.264 and HEVC need no rewriting.

    Args:
        clip: whose packets.
    """

    def __init__(self, clip: OpenClip) -> None:
        self._clip = clip
        self._length_size = nal_length_size(clip.codec, clip.context.extradata)
        self._sets = parameter_sets(clip.codec, clip.context.extradata) if self._length_size else b""

    def __call__(self, position: int) -> Packet:
        """Return the packet at a position in decode order."""
        source = self._clip.packets[position]
        starts = position == 0 or bool(self._clip.table.is_keyframe[position])
        data = bytes(source)
        if self._length_size is not None:
            data = with_start_codes(data, self._length_size)
        packet = Packet((self._sets if starts else b"") + data)
        packet.pts, packet.dts, packet.time_base = source.pts, source.dts, self._clip.time_base
        packet.is_keyframe = source.is_keyframe
        return packet


def with_start_codes(packet: bytes, length_size: int) -> bytes:
    """Replace each NAL unit's length by a start code; one that is longer than the packet ends with it."""
    units: list[bytes] = []
    at = 0
    while at + length_size < len(packet):
        stop = at + length_size + int.from_bytes(packet[at : at + length_size], "big")
        units += [_START_CODE, packet[at + length_size : stop]]
        at = stop
    return b"".join(units)


def parameter_sets(codec: str, extradata: bytes | None) -> bytes:
    """Return the parameter sets of a configuration record, with start codes.

    Args:
        codec: `h264` or `hevc`.
        extradata: AVCDecoderConfigurationRecord or HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3 and 8.3.3).
    """
    if codec not in ("h264", "hevc") or not extradata:
        return b""
    sets: list[bytes] = []
    if codec == "h264":
        at = 5
        for mask in (0x1F, 0xFF):  # SPS, then PPS: how many, then each with its length
            count, at = extradata[at : at + 1], at + 1
            at = _read_sets(extradata, at, (count[0] & mask) if count else 0, sets)
        return b"".join(sets)
    num_arrays, at = extradata[22] if len(extradata) > 22 else 0, 23
    for _ in range(num_arrays):
        at = _read_sets(extradata, at + 3, int.from_bytes(extradata[at + 1 : at + 3], "big"), sets)
    return b"".join(sets)


def _read_sets(record: bytes, at: int, count: int, sets: list[bytes]) -> int:
    """Read sets, each after its length of two bytes; return where they end."""
    for _ in range(count):
        if at + 2 > len(record):
            break
        stop = at + 2 + int.from_bytes(record[at : at + 2], "big")
        sets += [_START_CODE, record[at + 2 : stop]]
        at = stop
    return at
