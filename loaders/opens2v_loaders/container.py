"""What video does an mp4 hold? One pass over its container gives the packets and what is said about them.

Nothing here decodes, but for one keyframe in `probe`: a track's display matrix is only to be seen on a frame.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from opens2v_data.errors import (
    FrameIndexError,
    MissingExtraError,
    NotAVideoError,
    NoVideoStreamError,
)

try:
    import av
    from av.error import FFmpegError
    from av.video.stream import VideoStream
except ImportError as error:
    raise MissingExtraError(package="av", extra="video", needed_for="decoding clips") from error

from opens2v_loaders.packets import PacketTable
from opens2v_loaders.references import is_unreferenced, nal_length_size, refers_to_others

if TYPE_CHECKING:
    import numpy as np
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext

VideoSource = bytes | bytearray | memoryview | str | PathLike[str] | BinaryIO

AV_MAJOR = int(av.__version__.split(".")[0])
# The release's own sample has metadata that is not UTF-8, which strict reading refuses; PyAV 19 dropped the argument.
_LENIENT_METADATA: dict[str, Any] = {"metadata_errors": "ignore"} if AV_MAJOR < 19 else {}
# Only MP4/MOV says how many packets it should have. And playlists would let a stranger's bytes open other addresses.
_CONTAINERS = {"format_whitelist": "mov"}

# AVCOL_SPC_* and AVCOL_RANGE_* (ITU-T H.273), under FFmpeg's names.
_MATRIX_NAMES = {0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
_RANGE_NAMES = {1: "limited", 2: "full"}
# AVCOL_TRC_*: those that say what light a code value means, so far as anyone must care; the last two are HDR.
_TRANSFER_NAMES = {1: "bt709", 6: "smpte170m", 13: "srgb", 14: "bt2020-10", 15: "bt2020-12", 16: "pq", 18: "hlg"}


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoInfo:
    """What a clip's container says about its video.

    Attributes:
        codec, pixel_format: FFmpeg's names of the formats, e.g. `h264`, `yuv420p`.
        width, height: of the decoded frame, pixels.
        time_base: seconds per pts unit.
        average_rate: mean frames per second; None where the container has none.
        rotation_degrees: counter-clockwise turn that a player would apply, [-180, 180]. Reported only: frames come as
            coded, because upstream's crops, boxes and masks are in that frame.
        color_matrix, color_range: as marked in the stream, e.g. `bt709` and `limited`; None where unmarked.
        color_transfer: likewise, e.g. `bt709`; `pq` and `hlg` are HDR, whose code values are handed out as they are.
        pts: `(N,) int64`, time_base units, sorted: entry i is frame i.
        is_keyframe: `(N,) bool`, aligned with pts.
        num_packets_from_header: what the container's index promises, discarded packets included.
        is_truncated: the file ends before what its index promises.
        num_frames_intact: leading frames that a truncated file still has, with their numbers certain; else all.
    """

    codec: str
    pixel_format: str | None
    width: int
    height: int
    time_base: Fraction
    average_rate: Fraction | None
    rotation_degrees: int
    color_matrix: str | None
    color_range: str | None
    color_transfer: str | None
    pts: np.ndarray = field(repr=False)
    is_keyframe: np.ndarray = field(repr=False)
    num_packets_from_header: int
    is_truncated: bool
    num_frames_intact: int

    @property
    def num_frames_from_packets(self) -> int:
        """Frames that have a packet in the file."""
        return len(self.pts)

    @property
    def start_seconds(self) -> float:
        """Time of frame 0, seconds; often not 0 (0.066 in the release's sample)."""
        return self.pts_seconds(0)

    def pts_seconds(self, frame_idx: int) -> float:
        """Return the time of a frame, seconds.

        Raises:
            FrameIndexError: no such frame.
        """
        if not 0 <= frame_idx < len(self.pts):
            raise FrameIndexError(f"the clip has frames 0 to {len(self.pts) - 1}; frame {frame_idx} was asked for")
        return float(int(self.pts[frame_idx]) * self.time_base)


class OpenClip:
    """An open mp4: its video packets in memory, their table, and the decoder, not yet started.

    Args:
        data: an mp4, whole: its bytes, its path, or a seekable binary file, which is read from 0 and left open.

    Raises:
        NotAVideoError: not MP4/MOV, or cut before the end of its index.
        NoVideoStreamError: no video in it that FFmpeg can decode.
        DecodeError: frames cannot be numbered, see `PacketTable.of`.
    """

    def __init__(self, data: VideoSource) -> None:
        self._own_file: BinaryIO | None = None
        if isinstance(data, (bytes, bytearray, memoryview)):
            source: BinaryIO = io.BytesIO(data)
        elif isinstance(data, (str, PathLike)):  # not by FFmpeg itself: to it `http:…` and `concat:…` are paths too
            source = self._own_file = Path(data).open("rb")  # noqa: SIM115 (closed in `close`)
        else:
            source = data
            source.seek(0)
        self._container: InputContainer | None = None
        try:
            self._container = _open_container(source)
            self.stream = _video_stream(self._container)
            self.context: VideoCodecContext = self.stream.codec_context
            if self.context.width < 1 or self.context.height < 1:
                raise NotAVideoError(
                    f"expected pictures of 1x1 pixels or more, found {self.context.width}x{self.context.height}: the video "
                    "track's headers are damaged; fetch the file again"
                )
            self.context.thread_count = 1  # more clips at once beat more threads per clip
            self.packets, is_cut = _demux(self._container, self.stream)
            num_promised = _num_promised(self.stream)
            if not self.packets and not num_promised:
                raise NotAVideoError(
                    "the video track has no frame: its index is cut off, or it was written empty; fetch the file again"
                )
            self.table = PacketTable.of(self.packets, num_promised=num_promised, is_cut=is_cut)
        except BaseException:
            self.close()
            raise
        self.codec = self.context.codec.canonical_name
        self._nal_length_size = nal_length_size(self.codec, self.context.extradata)
        self.time_base = self.stream.time_base or Fraction(1, 90_000)

    def __enter__(self) -> OpenClip:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the container, and the file where this object opened it."""
        if self._container is not None:
            self._container.close()
        if self._own_file is not None:
            self._own_file.close()

    def is_unreferenced(self, position: int) -> bool:
        """Return whether surely no other frame refers to that of the packet."""
        if self._nal_length_size is None:
            return False
        return is_unreferenced(bytes(self.packets[position]), self.codec, self._nal_length_size)

    def keyframe_that_is_none(self) -> int | None:
        """Return the position of the first packet marked as a keyframe whose picture surely refers to others."""
        for position in self.table.is_keyframe.nonzero()[0].tolist():
            if refers_to_others(bytes(self.packets[position]), self.codec, self._nal_length_size):
                return position
        return None

    def info(self) -> VideoInfo:
        """Return what is known of the clip; the first keyframe is decoded, as only frames carry the display matrix."""
        context, table = self.context, self.table
        return VideoInfo(
            codec=self.codec,
            pixel_format=context.format.name if context.format else None,  # `pix_fmt` crashes PyAV 17 where unknown
            width=context.width,
            height=context.height,
            time_base=self.time_base,
            average_rate=self.stream.average_rate,
            rotation_degrees=self._rotation_degrees(),
            color_matrix=_MATRIX_NAMES.get(context.colorspace),
            color_range=_RANGE_NAMES.get(context.color_range),
            color_transfer=_TRANSFER_NAMES.get(context.color_trc),
            pts=_read_only(table.pts[table.position]),
            is_keyframe=_read_only(table.is_keyframe[table.position]),
            num_packets_from_header=table.num_promised,
            is_truncated=table.is_truncated,
            num_frames_intact=table.num_intact,
        )

    def _rotation_degrees(self) -> int:
        for packet in [packet for packet in self.packets if packet.is_keyframe][:1]:
            try:
                frames = [*self.context.decode(packet), *self.context.decode(None)]
            except FFmpegError:
                return 0  # damaged: `read_frames` will say so for the frames that it hits
            finally:
                self.context.flush_buffers()
            return int(frames[0].rotation) if frames else 0
        return 0


def probe(data: VideoSource) -> VideoInfo:
    """Read the packet table of a clip, and what its container says about the video.

    Args:
        data: an mp4, whole: its bytes, its path, or a seekable binary file, which is read from 0 and left open.

    Raises:
        NotAVideoError, NoVideoStreamError, DecodeError: see `OpenClip`. A cut-off file is no error here:
            `is_truncated` and `num_frames_intact` tell.
    """
    with OpenClip(data) as clip:
        return clip.info()


def _open_container(source: BinaryIO) -> InputContainer:
    try:
        return av.open(source, "r", options=_CONTAINERS, **_LENIENT_METADATA)
    except FFmpegError as error:
        size_bytes = source.seek(0, io.SEEK_END)
        raise NotAVideoError(
            f"expected an MP4/MOV file, found {size_bytes} bytes that are none, or that end before its index "
            f"({error.strerror}); fetch the file again"
        ) from error


def _video_stream(container: InputContainer) -> VideoStream:
    stream = container.streams.best("video")  # "best" passes over cover pictures
    if isinstance(stream, VideoStream) and stream.codec_context is not None:
        return stream
    found = sorted({stream.type for stream in container.streams})
    if "audio" in found and "video" not in found:
        raise NoVideoStreamError(f"expected a video stream, found only {' and '.join(found)}: leave the clip out")
    raise NotAVideoError(
        f"expected an MP4/MOV file with a video track, found no track that can be read ({', '.join(found) or 'none'}): "
        "its index is cut off or damaged (fetch the file again), or its codec is unknown to this FFmpeg"
    )


def _demux(container: InputContainer, stream: VideoStream) -> tuple[list[Packet[VideoStream]], bool]:
    """Return the packets in decode order, and whether reading them failed; errors of a caller's file are its own."""
    packets: list[Packet[VideoStream]] = []
    try:
        # Empty packets (the last one, and "no change" samples) tell a decoder to drain; they are no frames.
        packets.extend(packet for packet in container.demux(stream) if packet.size)
    except FFmpegError:  # also "cannot allocate memory", where a damaged index says that a packet has gigabytes
        return packets, True
    return packets, False


def _num_promised(stream: VideoStream) -> int:
    """Return how many packets the container's index has, edit lists applied.

    Before 17 PyAV shows only the count without edit lists: a clip that one shortens then looks cut off.
    """
    entries = getattr(stream, "index_entries", None)
    if entries is None:
        return stream.frames
    return sum(1 for entry in entries if entry.size)


def _read_only(values: np.ndarray) -> np.ndarray:
    values.flags.writeable = False
    return values
