"""What does a clip's file say of its video? What a player must know that counts frames."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from opens2v_data.triples import Clip
    from opens2v_loaders import VideoInfo


@dataclass(frozen=True, kw_only=True)
class ClipFacts:
    """Frame n of a clip is shown from `pts_seconds[n]` on; where `is_constant`, that is `pts0_seconds + n / fps`.

    Attributes:
        pts0_seconds: time of frame 0; often not 0 (0.066 in the release's sample).
        fps: mean frames per second between the first and the last frame.
        num_frames: that have a packet.
        width, height: of the decoded frame, pixels.
        duration_seconds: from the start of frame 0 to the end of the last.
        size_bytes: of the mp4.
        is_truncated: the file ends before what its index promises.
        num_frames_intact: leading frames that a truncated file still has; else all.
        is_constant: the sum above is right to less than half a frame for every frame.
        pts_seconds: of each frame.
    """

    pts0_seconds: float
    fps: float
    num_frames: int
    width: int
    height: int
    duration_seconds: float
    size_bytes: int
    is_truncated: bool
    num_frames_intact: int
    is_constant: bool
    pts_seconds: tuple[float, ...] = field(repr=False)

    @classmethod
    def of(cls, info: VideoInfo, clip: Clip, *, size_bytes: int) -> Self:
        """Make them of a probe; a file of one frame has no rate of its own, and takes the catalog's."""
        times = [float(int(pts) * info.time_base) for pts in info.pts]
        span = times[-1] - times[0] if times else 0.0
        recorded = float(info.average_rate or 0) or clip.fps or 25.0
        fps = (len(times) - 1) / span if span > 0 else recorded
        first = times[0] if times else 0.0
        return cls(
            pts0_seconds=first,
            fps=fps,
            num_frames=len(times),
            width=info.width,
            height=info.height,
            duration_seconds=span + 1 / fps,
            size_bytes=size_bytes,
            is_truncated=info.is_truncated,
            num_frames_intact=info.num_frames_intact,
            is_constant=all(abs(first + n / fps - time) < 0.5 / fps for n, time in enumerate(times)),
            pts_seconds=tuple(round(time, 6) for time in times),
        )

    def dumped(self) -> bytes:
        """Return them as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def loaded(cls, data: bytes) -> Self:
        """Make them of what `dumped` gave."""
        values = json.loads(data)
        return cls(**values | {"pts_seconds": tuple(values["pts_seconds"])})
