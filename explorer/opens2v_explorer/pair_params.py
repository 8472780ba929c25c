"""Which pairs does the URL of the pairs page ask for?

img=0.99..      image similarity from 0.99        txt=..0.5     text similarity up to 0.5
classes=differ  the two class names differ        order=-image  the most alike first
of=PART/KEY     pairs of one clip                 pair=17       the pair that is shown large
judged=todo     those that I have not judged      judged=others those that others have and I have not
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar, get_args

from opens2v_data.query.pairpages import PAIR_ORDERS, Bounds, Classes, PairFilter, PairOrder
from opens2v_explorer.verdicts.unjudged import Judged, as_param

T = TypeVar("T", bound=str)

NEAR_IDENTICAL = 0.99
LOW = 0.7

ORDER_NAMES: dict[PairOrder, str] = {
    "-image": "image similarity, highest first",
    "image": "image similarity, lowest first",
    "-text": "text similarity, highest first",
    "text": "text similarity, lowest first",
    "pair": "as the release has them",
}


@dataclass(frozen=True, kw_only=True)
class PairParams:
    """What is asked.

    Attributes:
        image, text, classes: see `PairFilter`.
        order: see `pair_page`.
        of: `part/clip_key`, or "": of any clip.
        judged: see `unjudged`.
    """

    image: Bounds = (None, None)
    text: Bounds = (None, None)
    classes: Classes = "any"
    order: PairOrder = "-image"
    of: str = ""
    judged: Judged = "any"
    notices: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def read(cls, get: Callable[[str], str]) -> PairParams:
        """Make one of the URL's parameters; what cannot be read is left out and told in `notices`.

        Args:
            get: gives a parameter by name, "" where there is none.
        """
        notices: list[str] = []

        def bounds(name: str) -> Bounds:
            try:
                return parse_bounds(get(name))
            except ValueError as error:
                notices.append(f"{name}: {error}")
                return None, None

        def choice(name: str, known: tuple[T, ...], default: T) -> T:
            value = get(name)
            found = next((one for one in known if one == value), None)
            if value and found is None:
                notices.append(f"{name}: expected one of {', '.join(known)}, got {value[:40]!r}")
            return default if found is None else found

        image, text = bounds("img"), bounds("txt")
        classes: Classes = choice("classes", get_args(Classes), "any")
        order: PairOrder = choice("order", PAIR_ORDERS, "-image")
        judged: Judged = choice("judged", get_args(Judged), "any")
        return cls(
            image=image, text=text, classes=classes, order=order, of=get("of"), judged=judged, notices=tuple(notices)
        )

    def filter(
        self, *, clip_id: int | None = None, only: tuple[int, ...] | None = None, without: tuple[int, ...] = ()
    ) -> PairFilter:
        """Return it for a query; `clip_id` is that of `of`, `only` and `without` are what `judged` means."""
        return PairFilter(
            image=self.image,
            text=self.text,
            classes=self.classes,
            clip_id=clip_id,
            only=only,
            without=without,
            names_subjects=self.judged != "any",  # others cannot be judged
        )

    def to_params(self) -> dict[str, str | None]:
        """Return the URL's parameters; None is left out there."""
        return {
            "img": write_bounds(self.image) or None,
            "txt": write_bounds(self.text) or None,
            "classes": None if self.classes == "any" else self.classes,
            "order": None if self.order == "-image" else self.order,
            "of": self.of or None,
            "judged": as_param(self.judged),
        }


def presets(params: PairParams) -> list[tuple[str, PairParams]]:
    """Return what is often looked for, by name; order and clip stay but where the name says so."""
    plain = replace(params, image=(None, None), text=(None, None), classes="any", notices=())
    return [
        ("All", plain),
        (f"Near-identical, image {NEAR_IDENTICAL} and more", replace(plain, image=(NEAR_IDENTICAL, None))),
        ("Class names differ", replace(plain, classes="differ")),
        (f"Low similarity, image {LOW} and less", replace(plain, image=(None, LOW), order="image")),
    ]


def parse_bounds(text: str) -> Bounds:
    """Return a range written as `from..to`, either of which may be left out.

    Raises:
        ValueError: it is none.
    """
    if not text:
        return None, None
    low, dots, high = text.partition("..")
    if not dots:
        raise ValueError(f"expected a range such as 0.5..0.9, got {text[:40]!r}")
    bounds = tuple(_number(one) if one else None for one in (low, high))
    return bounds[0], bounds[1]


def write_bounds(bounds: Bounds) -> str:
    """Return a range as the URL has it; "" for none."""
    if bounds == (None, None):
        return ""
    return "..".join("" if edge is None else f"{edge:.6g}" for edge in bounds)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"expected a number, got {text[:40]!r}")
    return value
