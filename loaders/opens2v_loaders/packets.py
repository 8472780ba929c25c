"""Which packets make frame i of an mp4? The packet table, from one pass over the container without decoding.

    decode order   pts  0   4   2   1   3   8   6 …      as the packets lie in the file
    display order  pts  0   1   2   3   4   6   8 …      sorted, without what an edit list discards: frame 0, 1, 2 …

**Frame i is the i-th sorted pts of the packets that are not discarded.** Nothing else is exact: pts may start anywhere,
steps may vary, so neither `i / fps` nor a seek finds frame i (measured: a seek missed 2 of 120).

A *span* is a half-open range of packets, in decode order, that a decoder needs for a frame: from the last keyframe at
or before it, by pts, to its own packet.

A file that is cut off still has a table, but near its end the numbers are in doubt, because a lost packet may show
earlier than one that is there. A packet never shows before its dts, and dts only grow, so the frames up to the last
dts read keep their numbers: those are *intact*, and no other is handed out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opens2v_data.errors import DecodeError, FrameIndexError, TruncatedVideoError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from av.packet import Packet


@dataclass(frozen=True, kw_only=True, eq=False)
class PacketTable:
    """A video stream's packets in decode order, and which of them is frame i.

    Attributes:
        pts: `(P,) int64`, decode order.
        is_keyframe: `(P,) bool`, decode order.
        is_shown: `(P,) bool`, decode order: not discarded by an edit list.
        position: `(N,) int64`; frame i is packet `position[i]`.
        num_promised: packets that the container's index promises.
        is_truncated, num_intact: see `VideoInfo`.
    """

    pts: np.ndarray
    is_keyframe: np.ndarray
    is_shown: np.ndarray
    position: np.ndarray
    num_promised: int
    is_truncated: bool
    num_intact: int

    @classmethod
    def of(cls, packets: Sequence[Packet], *, num_promised: int, is_cut: bool) -> PacketTable:
        """Sort the packets into frames.

        Raises:
            DecodeError: a packet without pts, or two shown packets with the same one: then no frame has a number.
        """
        if any(packet.pts is None for packet in packets):
            raise DecodeError("frames are numbered by their pts, and a packet has none; remux it with ffmpeg -c copy")
        pts = np.array([packet.pts for packet in packets], np.int64)
        is_shown = np.array([not packet.is_discard for packet in packets], bool)
        shown = np.flatnonzero(is_shown)
        position = shown[np.argsort(pts[shown], kind="stable")].astype(np.int64)
        if len(position) and (same := np.flatnonzero(np.diff(pts[position]) == 0)).size:
            first = int(same[0])
            shared = int(pts[position[first]])
            raise DecodeError(
                f"frames are numbered by their pts, and frames {first} and {first + 1} share pts {shared}"
            )
        partial = np.array([packet.is_corrupt for packet in packets], bool)
        num_intact = len(position)
        if is_truncated := is_cut or bool(partial.any()) or len(packets) < num_promised:
            last = int(np.argmax(partial)) if partial.any() else len(packets) - 1
            dts = packets[last].dts if packets else None
            num_intact = 0 if dts is None else int(np.count_nonzero((pts[position] <= dts) & ~partial[position]))
        return cls(
            pts=pts,
            is_keyframe=np.array([packet.is_keyframe for packet in packets], bool),
            is_shown=is_shown,
            position=position,
            num_promised=max(num_promised, len(packets)),
            is_truncated=is_truncated,
            num_intact=num_intact,
        )

    def check(self, indices: Iterable[int]) -> None:
        """Refuse frames that the clip does not have, or not any more.

        Raises:
            FrameIndexError: below 0 or past the end.
            TruncatedVideoError: lost, or of doubtful number, because the file is cut off.
        """
        for frame_idx in indices:
            if 0 <= frame_idx < self.num_intact:
                continue
            if self.is_truncated and 0 <= frame_idx < self.num_promised:
                raise TruncatedVideoError(
                    f"the file's index promises {self.num_promised} frames, but the file is cut off and only the first "
                    f"{self.num_intact} are certain; frame {frame_idx} was asked for: fetch the file again, "
                    f"or ask below {self.num_intact}",
                    num_frames_decoded=self.num_intact,
                )
            if not len(self.position):
                raise FrameIndexError(
                    f"the clip shows none of its {len(self.pts)} frames (an edit list hides them); frame {frame_idx} was "
                    "asked for: leave the clip out"
                )
            raise FrameIndexError(
                f"the clip has frames 0 to {len(self.position) - 1}; frame {frame_idx} was asked for (counted in "
                "display order from the first frame of the file, never negative)"
            )

    def span(self, frame_idx: int) -> tuple[int, int]:
        """Return the half-open range of packets that decoding the frame needs."""
        own = int(self.position[frame_idx])
        starts = np.flatnonzero(self.is_keyframe[: own + 1] & (self.pts[: own + 1] <= self.pts[own]))
        return (int(starts[-1]) if starts.size else 0), own + 1
