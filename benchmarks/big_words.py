"""The words of a generated catalog: class phrases with a Zipf tail, caption words, places."""

from __future__ import annotations

from itertools import product

import numpy as np
import pyarrow as pa

NUM_CLASSES = 20_000
NUM_WORDS = 2_000
DRAW_BITS = 20
"""A draw is a lookup in a table of 2^20 entries: the rarest class is drawn 1.2 times in a million, its due is 5."""


def _words(text: str) -> list[str]:
    return text.split()


LIVING = _words(
    """
woman man person individual child dog girl boy cat bird horse baby couple crowd player speaker chef student teacher
worker dancer singer musician farmer driver runner cyclist fish cow sheep monkey elephant lion tiger bear rabbit duck
chicken butterfly bee
"""
)
THINGS = _words(
    """
car shirt hair tree table chair hand hat glasses jacket dress wall window grass building sky flower phone book cup
bottle road boat ball bag bicycle plate food camera lamp truck bus pants shoes necklace watch laptop microphone
mountain river bridge door fence sign suit tie scarf glove helmet bench umbrella sofa bed pillow curtain carpet mirror
clock vase candle basket box bowl spoon fork knife pan pot oven sink cake bread apple banana orange salad soup coffee
tea wine guitar piano violin drum motorcycle train airplane helicopter ship tent flag statue fountain tower church
castle path stairs roof garden pool beach cliff rock log leaf branch bush cloud moon sun star fire smoke ice snow sand
mud ring bracelet earrings belt backpack suitcase wallet key pen pencil paper poster painting screen keyboard mouse
speaker-box cable robot toy doll balloon kite skateboard ski racket net goal track field stage podium ladder hammer
drill saw rope chain wheel tire engine tractor crane
"""
)
COLOURS = _words(
    """
blue white black red green grey brown yellow pink purple beige golden silver dark light orange-coloured teal navy
maroon cream
"""
)
KINDS = _words(
    """
small large old striped wooden leather patterned knitted metal glass floral plastic
"""
)
ODD = [
    "women's shoes",
    'sign that says "exit"',
    "50% off sign",
    "café table",
    "jalapeño",
    "日本の提灯",
    "Straßenschild",
    "children's_toy",
    "R&B band",
    "rock 'n' roll poster",
    "новая машина",
    "☕ cup",
    "-1 jersey",
    "NULL",
]
"""Names that a question put together from text would stumble over."""

_KINDS_OF_PLACES = ("", "green", "busy", "quiet", "sunny", "dark", "modern", "rural", "snowy", "crowded")
_PLACES = _words(
    """
park garden street kitchen office living-room beach forest field studio stage classroom hospital restaurant market gym
stadium mountain river lake desert bridge station airport museum library church courtyard rooftop playground farm
garage warehouse laboratory bedroom bathroom corridor harbour highway square
"""
)
PLACES = [f"{kind} {place}".strip() for kind, place in product(_KINDS_OF_PLACES, _PLACES)]

_COMMON = _words(
    """
the a and of in with is to on her his their person wearing appears video man woman be at it as an background from
camera scene this are by frame hand individual while features standing looking towards dark light white black blue red
seated near holding shirt hair short long outdoor indoor setting which has possibly seems suggests engaged slightly
visible left right front behind side table wall window bright soft natural gesture smile expression conversation
moving movement walks turns throughout remains static shot close focus blurred event group another both two three
several some area foreground
"""
)
_SYLLABLES = _words(
    """
ba ber ca con da del dis en er fa for gra in is ka lan le lo ma men mi na no or pa per ra re ri sa sen sta su ta ten
ti tra un ver vi
"""
)


class ClassDraw:
    """Class phrases and how often each is drawn.

    Attributes:
        names: by rank, the most frequent first in expectation.
        is_living: per rank, whether it is a person or an animal.
        table: ranks, `(2^20,) int16`: uniform numbers below 2^20 index it.
    """

    def __init__(self, rng: np.random.Generator, num_classes: int = NUM_CLASSES) -> None:
        head = [name for pair in zip(LIVING, THINGS, strict=False) for name in pair] + THINGS[len(LIVING) :]
        # A guitar is searched for in captions, so phrases do not name others.
        things = [thing for thing in THINGS if thing != "guitar"]
        combined = [" ".join(words) for words in product(COLOURS, things)]
        combined += [" ".join(words) for words in product(KINDS, COLOURS, things)]
        combined += [" ".join(words) for words in product(COLOURS, LIVING)]
        order = rng.permutation(len(combined))
        tail = [combined[index] for index in order]
        middle = 400 - len(head)
        names = list(dict.fromkeys([*head, *tail[:middle], *ODD, *tail[middle:]]))[:num_classes]
        self.names = names
        living = set(LIVING)
        self.is_living = np.array([name in living or name.rpartition(" ")[2] in living for name in names])
        self.table = zipf_table(len(names), exponent=1.05, shift=2.7)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Return ranks, `(count,) int16`."""
        return self.table[rng.integers(0, 1 << DRAW_BITS, count, np.int32)]


def zipf_table(count: int, *, exponent: float, shift: float) -> np.ndarray:
    """Return a table of 2^20 ranks below `count` in which rank r stands in proportion to (r + shift)^-exponent."""
    share = np.cumsum((np.arange(count) + shift) ** -exponent)
    edges = share / share[-1]
    return np.searchsorted(edges, (np.arange(1 << DRAW_BITS) + 0.5) / (1 << DRAW_BITS)).astype(np.int16)


class CaptionWords:
    """Captions of Zipf words, some 60 each, that name the clip's first subjects, and some one in 200 a guitar.

    Args:
        rng: makes the words.
        classes: whose phrases captions name.
    """

    def __init__(self, rng: np.random.Generator, classes: ClassDraw) -> None:
        made = {
            "".join(_SYLLABLES[index] for index in rng.integers(0, len(_SYLLABLES), length))
            for length in rng.integers(2, 5, 3 * NUM_WORDS)
        }
        words = list(dict.fromkeys([*_COMMON, *sorted(made - {"guitar"})]))[:NUM_WORDS]
        self._num = len(words)
        self._classes = 4 * self._num
        self._guitar = self._classes + len(classes.names)
        texts = [f"{word} " for word in words]
        texts += [f"{word.capitalize()} " for word in words]
        texts += [f"{word}." for word in words]
        texts += [f"{word}. " for word in words]
        texts += [f"{name} " for name in classes.names]
        self._texts = pa.array([*texts, "guitar "], pa.string())
        self._table = zipf_table(self._num, exponent=0.9, shift=2.0).astype(np.int32)

    def captions(self, rng: np.random.Generator, first_classes: np.ndarray) -> pa.StringArray:
        """Return a caption per row of `first_classes`, `(N, 3)` ranks, -1 where the clip has fewer subjects."""
        count = len(first_classes)
        lengths = np.clip(rng.lognormal(4.03, 0.35, count), 15, 200).astype(np.int64)
        ends = np.cumsum(lengths)
        starts = ends - lengths
        total = int(ends[-1])
        index = self._table[rng.integers(0, 1 << DRAW_BITS, total, np.int32)]
        index[rng.random(total, np.float32) < 0.06] += 3 * self._num
        index[starts] = index[starts] % self._num + self._num
        index[ends - 1] = index[ends - 1] % self._num + 2 * self._num
        for column, place in enumerate((2, 6, 11)):
            ranks = first_classes[:, column]
            is_named = (ranks >= 0) & (rng.random(count) < 0.85)
            index[starts[is_named] + place] = self._classes + ranks[is_named]
        index[starts[rng.random(count) < 0.003] + 8] = self._guitar
        # The words' bytes lie one behind the other: a caption is a stretch of them.
        taken = self._texts.take(pa.array(index))
        offsets = np.frombuffer(taken.buffers()[1], np.int32)[: total + 1]
        bounds = np.concatenate([offsets[:1], offsets[ends]])
        return pa.StringArray.from_buffers(count, pa.py_buffer(bounds), taken.buffers()[2])
