"""Which frames of a clip, and which part of each picture, does a sample show?

    clip in its file    0 ········ start_frame ░░░░░░░░░░░░░░░░░░░░░░ end_frame ·······     half-open: face_cut, else cut
    upstream                         └ first_frame ▪──▪──▪──▪──▪──▪            random, evenly spaced, at most `stride`
    random_segment                   └ first_frame ▪──▪──▪──▪──▪──▪            random, exactly `stride`
    head                       ▪──▪──▪──▪──▪──▪                                exactly `stride`, from start_frame
    uniform                      ▪───▪───▪───▪───▪───▪                         the middles of equal stretches of the range

Here are numbers only, no pixels and no torch. What is random is drawn with `rng_of(seed, epoch, row, stream)`: the same
on every rank, worker and resumed run, because nothing of these is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from opens2v_data.errors import DecodeError

if TYPE_CHECKING:
    from opens2v_data.triples import Clip

Sampling = Literal["upstream", "uniform", "head", "random_segment"]
Short = Literal["repeat", "hold", "skip"]
Crop = Literal["center", "random", "none"]

_DRAWS: frozenset[Sampling] = frozenset({"upstream", "random_segment"})


def philox_of(seed: int, epoch: int, row: int, stream: str) -> np.random.Philox:
    """Return the counter-based bit generator of one row in one epoch.

    Key: (seed, stream's name hashed); counter: (0, row, epoch, 0), whose first word counts the blocks that are drawn. So
    two generators of other arguments never share a block, and none depends on what was drawn before.

    Args:
        seed, epoch, row: `[0, 2**64)`.
        stream: what is drawn, e.g. "frames" or "crop"; each name is a sequence of its own.

    Raises:
        ValueError: a number out of range.
    """
    for name, value in (("seed", seed), ("epoch", epoch), ("row", row)):
        if not 0 <= value < 2**64:
            raise ValueError(f"{name} must lie in [0, 2**64), not {value}")
    words = [np.array(pair, np.uint64) for pair in ((seed, _stream_word(stream)), (0, row, epoch, 0))]
    return np.random.Philox(key=words[0], counter=words[1])


def rng_of(seed: int, epoch: int, row: int, stream: str) -> np.random.Generator:
    """Return the random generator of one row in one epoch; see `philox_of` for arguments and errors.

    NumPy promises the same bits from Philox in every version, but not the same `Generator.integers` (NEP 19): what must
    be the same for ever is drawn with `draw_int`.
    """
    return np.random.Generator(philox_of(seed, epoch, row, stream))


def draw_int(rng: np.random.Generator, low: int, high: int) -> int:
    """Return a random integer of `[low, high]`, both ends in; it takes one 64-bit word.

    Some values come up more often than others by a part in 2**64 / (high - low), at most.

    Raises:
        ValueError: `low` is above `high`.
    """
    if low > high:
        raise ValueError(f"low must be at most high, found {low} and {high}")
    return low + ((int(rng.bit_generator.random_raw()) * (high - low + 1)) >> 64)


@cache
def _stream_word(stream: str) -> int:
    return int.from_bytes(blake2b(stream.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a cropped picture becomes one of the wanted size: resize it, then keep a box of the result.

    Attributes:
        resize: (height, width) to resize the whole cropped picture to, pixels.
        box_xyxy: half-open pixels of the resized picture to keep.
    """

    resize: tuple[int, int]
    box_xyxy: tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """What a sample shows of its clip.

    The defaults are upstream's (`OpenS2VDataset` of its data_process/demo_dataloader.py: 49 frames, stride 3), but for
    `size`, which is 480x832 there.

    Attributes:
        num_frames: frames of a sample.
        stride: frames of the file from one frame of the sample to the next; 1 is every frame. "upstream" goes closer where
            the range is too short for it; "uniform" does not look at it.
        size: (height, width) of a frame in pixels; None: as the clip's own crop leaves it.
        sampling: which frames, see the module's drawing.
        short: what to do where the range has fewer frames than the rule needs (`frames_needed`).
            repeat: spread over the whole range, closer than `stride`, each frame as often as any other or once more.
            hold: keep `stride` (1 where the rule may go closer), then repeat the range's last frame.
            skip: refuse the clip.
        crop: how the picture comes to `size`. center and random: it is resized to cover `size` and the rest is cut off,
            the same on both sides or at a random place; none: it is stretched.
    """

    num_frames: int = 49
    stride: int = 3
    size: tuple[int, int] | None = None
    sampling: Sampling = "upstream"
    short: Short = "repeat"
    crop: Crop = "center"

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ValueError: names the value and what it may be.
        """
        for name, least in (("num_frames", 1), ("stride", 1)):
            value = getattr(self, name)
            if not _is_int(value) or value < least:
                raise ValueError(f"{name} must be an integer of {least} or more, not {value!r}")
        if self.size is not None and (len(self.size) != 2 or not all(_is_int(n) and n > 0 for n in self.size)):
            raise ValueError(f"size must be (height, width) in pixels, both above 0, or None, not {self.size!r}")
        for name, choices in (("sampling", get_args(Sampling)), ("short", get_args(Short)), ("crop", get_args(Crop))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")

    @property
    def span_frames(self) -> int:
        """Frames of the file from a sample's first frame to its last, both counted, at full stride."""
        return (self.num_frames - 1) * self.stride + 1

    @property
    def frames_needed(self) -> int:
        """Frames a range must have; with fewer, `short` decides.

        `num_frames` where the rule may go closer than `stride` ("upstream", "uniform"), else `span_frames`.
        """
        return self.num_frames if self.sampling in ("upstream", "uniform") else self.span_frames

    @property
    def draws_first_frame(self) -> bool:
        """Whether the first frame is random."""
        return self.sampling in _DRAWS

    def first_frames(self, frame_range: tuple[int, int]) -> tuple[int, int]:
        """Return the first and last frame, both in, that a sample of a half-open frame range may begin with.

        For "uniform" both are the range's first frame, whatever frame it then shows first.
        """
        start_frame, end_frame = _checked(frame_range)
        length = end_frame - start_frame
        # upstream: with as many frames as wanted or fewer there is nothing to draw.
        if self.sampling not in _DRAWS or length <= self.num_frames or length < self.frames_needed:
            return start_frame, start_frame
        return start_frame, end_frame - min(length, self.span_frames)

    def frame_indices(
        self, frame_range: tuple[int, int], *, rng: np.random.Generator | None = None, first_frame: int | None = None
    ) -> np.ndarray:
        """Return the frames of a sample, in display order, counted from the file's first frame.

        "upstream" is the rule of its demo loader, number for number given the same first frame. With `length` frames in
        the range: where `length <= num_frames`, every frame as often as any other, the earliest ones once more.
        Else it takes `min(length, span_frames)` frames from a uniformly random place and `num_frames` of them evenly
        spaced by numpy.linspace, rounded down.

        Args:
            frame_range: half-open, see `frame_range`.
            rng: draws the first frame; one word is taken whether or not there is a choice, if the rule is random.
            first_frame: begin here instead of drawing; one of `first_frames`.

        Returns:
            `(num_frames,) int64`, ascending, inside the range.

        Raises:
            DecodeError: the range is too short and `short` is "skip".
            ValueError: no random generator where one is needed; `first_frame` out of place; an empty range.
        """
        start_frame, end_frame = _checked(frame_range)
        length = end_frame - start_frame
        if self.short == "skip" and length < self.frames_needed:
            raise DecodeError(
                f"{self.sampling} sampling of {self.num_frames} frames with stride {self.stride} needs "
                f"{self.frames_needed} frames, found {length} in [{start_frame}, {end_frame}); leave the clip out, or "
                'sample with short="repeat"'
            )
        first = self._first_frame((start_frame, end_frame), rng, first_frame)
        if length < self.frames_needed and self.short == "hold":
            stride = self.stride if self.frames_needed == self.span_frames else 1
            return np.minimum(start_frame + np.arange(self.num_frames) * stride, end_frame - 1)
        if self.sampling == "uniform":
            return start_frame + (2 * np.arange(self.num_frames) + 1) * length // (2 * self.num_frames)
        if length < self.num_frames or (self.sampling == "upstream" and length == self.num_frames):
            repeats, once_more = divmod(self.num_frames, length)
            return np.repeat(np.arange(start_frame, end_frame), repeats + (np.arange(length) < once_more))
        # As upstream calls it: linspace's own float steps decide where a frame falls between two.
        span = min(length, self.span_frames)
        return np.linspace(first, first + span - 1, self.num_frames, dtype=np.int64)

    def fit(self, height: int, width: int, *, rng: np.random.Generator | None = None) -> Fit:
        """Return how a picture of that size, already cropped to the clip's `crop_xyxy`, comes to `size`.

        "center" is upstream's: its float arithmetic gives the size that covers, torchvision's CenterCrop the place. Where
        its rounding leaves the picture one line short (it then pads with black), ours is stretched by that line.

        Raises:
            ValueError: no random generator where one is needed, or a picture without pixels.
        """
        if height < 1 or width < 1:
            raise ValueError(f"a picture has 1x1 pixels or more, not {height}x{width}")
        if self.size is None or self.crop == "none":
            to_height, to_width = self.size or (height, width)
            return Fit(resize=(to_height, to_width), box_xyxy=(0, 0, to_width, to_height))
        to_height, to_width = self.size
        aspect = width / height
        if aspect > to_width / to_height:
            covering = to_height, max(int(to_height * aspect), to_width)
        else:
            covering = max(int(to_width / aspect), to_height), to_width
        spare_y, spare_x = covering[0] - to_height, covering[1] - to_width
        if self.crop == "random":
            if rng is None:
                raise ValueError('crop="random" needs rng, e.g. rng_of(seed, epoch, row, "crop")')
            top, left = draw_int(rng, 0, spare_y), draw_int(rng, 0, spare_x)
        else:
            top, left = round(spare_y / 2), round(spare_x / 2)
        return Fit(resize=covering, box_xyxy=(left, top, left + to_width, top + to_height))

    def _first_frame(self, frames: tuple[int, int], rng: np.random.Generator | None, given: int | None) -> int:
        low, high = self.first_frames(frames)
        if given is not None:
            if not low <= given <= high:
                raise ValueError(f"first_frame must lie in [{low}, {high}] for the range {list(frames)}, not {given}")
            return int(given)
        if not self.draws_first_frame:
            return low
        if rng is None:
            raise ValueError(
                f'{self.sampling} sampling needs rng, e.g. rng_of(seed, epoch, row, "frames"), or first_frame'
            )
        return draw_int(rng, low, high)


def frame_range(clip: Clip, *, num_frames: int | None = None) -> tuple[int, int]:
    """Return the half-open range of frames to sample a clip from: `face_cut`, else `cut`, else the whole file.

    Args:
        num_frames: how many frames the file really has, where that is known (`probe`): the range ends there. Upstream's
            recorded ranges can reach past a file's end, where its loader fails.

    Raises:
        DecodeError: no range is recorded and no number of frames is known, or nothing of the range is in the file.
    """
    known = clip.num_frames if num_frames is None else num_frames
    found = clip.face_cut or clip.cut or (None if known is None else (0, known))
    if found is None:
        raise DecodeError(
            f"clip {clip.key} of {clip.part} has no face_cut, no cut and no number of frames: give num_frames, or leave it out"
        )
    start_frame, end_frame = max(found[0], 0), found[1] if num_frames is None else min(found[1], num_frames)
    if start_frame >= end_frame:
        raise DecodeError(
            f"clip {clip.key} of {clip.part} has no frame in its range [{found[0]}, {found[1]}) of a file of {known} "
            "frames: leave it out"
        )
    return start_frame, end_frame


def _checked(frames: tuple[int, int]) -> tuple[int, int]:
    start_frame, end_frame = (int(number) for number in frames)
    if not 0 <= start_frame < end_frame:
        raise ValueError(f"a frame range is [start, end) with 0 <= start < end, not [{start_frame}, {end_frame})")
    return start_frame, end_frame


def _is_int(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
