"""What does frame i of an mp4 look like? Exact frames, in the order asked for, on one CPU thread.

    wanted [6, 2]     spans [I0 P4 B2] and [I0 P4 B2 b1 b3 P8 B6], joined where they overlap (`packets` draws them)
    left out          the packets of others that nothing refers to (b1, b3): 25% less time where half are wanted
    fed whole         all the rest; each must give its picture, or it is damaged
    once more         from the file's first packet, where a span's keyframe was none that decoding can begin at: streams
                      that are refreshed bit by bit (x264's intra-refresh), keyframes marked wrongly

**Colour.** See `swscale`. No deinterlacing, no rotation (`VideoInfo.rotation_degrees`).

**Damage.** FFmpeg conceals it; here it is an error. A frame is refused when it is damaged, or when one before it in its
span is, on which it may be built. What a decoder cannot notice (flipped bits that still parse) nobody can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opens2v_data.errors import CorruptFrameError, DecodeError
from opens2v_loaders.container import FFmpegError, OpenClip, VideoInfo, VideoSource, probe
from opens2v_loaders.swscale import Converter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

__all__ = ["Frames", "VideoInfo", "VideoSource", "clip_box", "decoded", "probe", "read_frames"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """Decoded frames, in the order they were asked for.

    Attributes:
        rgb: `(N, H, W, 3) uint8 in [0, 255], RGB`.
        pts_seconds: `(N,) float64`.
        indices: the frame numbers.
    """

    rgb: np.ndarray
    pts_seconds: np.ndarray
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        shown = ", ".join(map(str, self.indices[:6])) + (", …" if len(self.indices) > 6 else "")
        return f"Frames(rgb={self.rgb.dtype}{list(self.rgb.shape)}, indices=[{shown}])"


def read_frames(
    data: VideoSource, indices: Sequence[int] | np.ndarray, *, crop_xyxy: tuple[int, int, int, int] | None = None
) -> Frames:
    """Decode the frames asked for, in one pass; the compressed packets are held in memory meanwhile.

    Args:
        data: an mp4, whole: its bytes, its path, or a seekable binary file, which is read from 0 and left open.
        indices: frame numbers in display order, from 0; repeats and any order are fine.
        crop_xyxy: `(x0, y0, x1, y1)`, pixels of the decoded frame, half-open: what to keep. See `clip_box`.

    Raises:
        NotAVideoError, NoVideoStreamError: see `container.OpenClip`.
        FrameIndexError: an index below 0 or past the last frame.
        TruncatedVideoError: the file ends before a wanted frame, or so near it that its number is in doubt.
        CorruptFrameError: a wanted frame is damaged, or one that it may be built on.
        DecodeError: the crop lies outside of the frame; the picture's size changes; a colour matrix nobody converts.
    """
    with OpenClip(data) as clip:
        wanted = tuple(int(i) for i in indices)
        clip.table.check(wanted)
        width, height = clip.context.width, clip.context.height
        converter = Converter()
        left, top, right, bottom = clip_box(crop_xyxy or (0, 0, width, height), width=width, height=height)
        rows: dict[int, list[int]] = {}
        for row, frame_idx in enumerate(wanted):
            rows.setdefault(frame_idx, []).append(row)
        rgb = np.empty((len(wanted), bottom - top, right - left, 3), np.uint8)
        for frame_idx, frame in decoded(clip, sorted(rows)):
            first, *repeats = rows[frame_idx]
            rgb[first] = converter.rgb(frame)[top:bottom, left:right]
            rgb[repeats] = rgb[first]
        pts = clip.table.pts[clip.table.position[list(wanted)]]
        pts_seconds = np.array([float(int(value) * clip.time_base) for value in pts], np.float64)
    return Frames(rgb=rgb, pts_seconds=pts_seconds, indices=wanted)


def clip_box(box_xyxy: tuple[int, int, int, int], *, width: int, height: int) -> tuple[int, int, int, int]:
    """Cut a half-open pixel box to the frame.

    Raises:
        ValueError: the box is empty or inverted.
        DecodeError: no pixel of it lies in the frame.
    """
    x0, y0, x1, y1 = (int(value) for value in box_xyxy)
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"a box is (x0, y0, x1, y1) with x0 < x1 and y0 < y1, not {tuple(box_xyxy)}")
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if x0 >= x1 or y0 >= y1:
        raise DecodeError(f"the crop {tuple(box_xyxy)} (x0, y0, x1, y1) keeps nothing of a {width}x{height} frame")
    return x0, y0, x1, y1


def decoded(
    clip: OpenClip,
    wanted: Sequence[int],
    *,
    context: VideoCodecContext | None = None,
    packet_at: Callable[[int], Packet] | None = None,
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield each wanted frame as it comes; raise at the end of a span when one was not sound.

    A frame comes twice where the first was not sound and decoding from the file's first packet made it so: the later one holds.

    Args:
        wanted: frame numbers, sorted, no repeats.
        context: the decoder, flushed; the clip's own unless given.
        packet_at: what it is fed for the packet at a position; the clip's own packets unless given.

    Raises:
        CorruptFrameError: a wanted frame is damaged, or one that it may be built on.
        DecodeError: the picture's size changes.
    """
    context = clip.context if context is None else context
    packet_at = clip.packets.__getitem__ if packet_at is None else packet_at
    spans = {frame_idx: clip.table.span(frame_idx) for frame_idx in wanted}
    again: dict[int, CorruptFrameError] = {}
    for (start, stop), members in _joined(spans):
        damaged = set[int]()
        yield from _fed(clip, range(start, stop), members, damaged, context, packet_at)
        # Only now: a damaged packet's picture may be shown, and so be flagged, after the pictures built on it.
        for frame_idx in members:
            error = _why_unsound(clip, frame_idx, spans[frame_idx], damaged)
            if error is None:
                continue
            begun_at = spans[frame_idx][0]
            if begun_at == 0 or begun_at not in damaged:
                raise error
            again[frame_idx] = error
    if again:
        ends = {frame_idx: spans[frame_idx][1] for frame_idx in again}
        damaged = set[int]()
        yield from _fed(clip, range(max(ends.values())), list(again), damaged, context, packet_at)
        for frame_idx, error in again.items():
            if _why_unsound(clip, frame_idx, (0, ends[frame_idx]), damaged) is not None:
                raise error


def _fed(
    clip: OpenClip,
    span: range,
    members: Sequence[int],
    damaged: set[int],
    context: VideoCodecContext,
    packet_at: Callable[[int], Packet],
) -> Iterator[tuple[int, VideoFrame]]:
    """Feed a span's packets, yield the members' frames, and note in `damaged` the packets that gave no sound picture."""
    table = clip.table
    width, height = clip.context.width, clip.context.height
    own = {int(table.position[frame_idx]): frame_idx for frame_idx in members}
    position_of_pts = {int(table.pts[position]): position for position in span if table.is_shown[position]}
    pending = set[int]()
    for position in [*span, None]:  # None drains the decoder
        try:
            if position is None:
                arrived = context.decode(None)
            else:
                left_out = position not in own and position != span.start and clip.is_unreferenced(position)
                context.skip_frame = "NONREF" if left_out else "DEFAULT"
                if not left_out and table.is_shown[position]:
                    pending.add(position)
                arrived = context.decode(packet_at(position))
        except FFmpegError:
            damaged.add(span.stop - 1 if position is None else position)
            continue
        for frame in arrived:
            came_from = None if frame.pts is None else position_of_pts.get(frame.pts)
            if came_from is None:
                continue
            # A P-picture at a span's start was built on what is not there: decoders of MPEG-4 part 2 do not mind.
            if frame.is_corrupt or (came_from == span.start > 0 and not frame.key_frame):
                damaged.add(came_from)
            if came_from in pending and came_from in own:
                frame_idx = own[came_from]
                if (frame.width, frame.height) != (width, height):
                    found = f"{frame.width}x{frame.height}"
                    raise DecodeError(
                        f"the clip is {width}x{height}, its frame {frame_idx} {found}: leave the clip out"
                    )
                yield frame_idx, frame
            pending.discard(came_from)
    context.flush_buffers()
    damaged |= pending


def _why_unsound(clip: OpenClip, frame_idx: int, span: tuple[int, int], damaged: set[int]) -> CorruptFrameError | None:
    start, stop = span
    pts = clip.table.pts
    # Frames shown before the span's keyframe but coded after it lean on the span before; nothing here leans on them.
    first = min(
        (position for position in damaged if start <= position < stop and pts[position] >= pts[start]), default=None
    )
    if first is None:
        return None
    seconds = float(int(pts[stop - 1]) * clip.time_base)
    which = "its packet" if first == stop - 1 else f"packet {first}, on which it may be built,"
    return CorruptFrameError(
        f"frame {frame_idx} (at {seconds:.3f} s, packet {stop - 1}) cannot be decoded exactly: {which} is damaged; "
        "fetch the file again, or leave the clip out",
        frame_idx=frame_idx,
    )


def _joined(spans: dict[int, tuple[int, int]]) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """Join spans that overlap; yield each with the frames in it."""
    members: list[int] = []
    start = stop = -1
    for frame_idx, (first, last) in sorted(spans.items(), key=lambda item: item[1]):
        if members and first >= stop:
            yield (start, stop), members
            members = []
        if not members:
            start, stop = first, last
        stop = max(stop, last)
        members.append(frame_idx)
    if members:
        yield (start, stop), members
