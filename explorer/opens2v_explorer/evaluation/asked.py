"""What is asked of the benchmark's page, as its address has it, and which prompts that gives.

mode=corrected             how numbers are counted; else as published
group=single-face-to-video a category               among=…, sort=… and the like are of clips, and mean nothing here
domain=human               prompts of a smaller domain
words=red+cup              in the prompt's text, labels or key, all of them
only=no-video              where a model has no video; no-score: has no number of the metric, though it applies
metric=facesim             the one that models are compared by
apart=20                   where it differs by as many percent points or more
order=-apart               of the list
prompt=faceobj_14          the one that is shown
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, get_args

from opens2v_explorer.evaluation.loading import MODES, Evaluation, Mode
from opens2v_explorer.filters import Notice

T = TypeVar("T", bound=str)

Only = Literal["", "no-video", "no-score"]
Order = Literal["", "-apart", "apart", "mean", "-mean"]

ONLY_NAMES: dict[Only, str] = {
    "": "All prompts",
    "no-video": "A model has no video",
    "no-score": "A model has no score of the metric",
}
ORDER_NAMES: dict[Order, str] = {
    "": "As published",
    "-apart": "Models differ most first",
    "apart": "Models differ least first",
    "mean": "Worst first, models' mean",
    "-mean": "Best first, models' mean",
}
PARAMS = ("mode", "group", "domain", "words", "only", "metric", "apart", "order")
"""Parameters of the page but for the prompt that is shown."""
MAX_WORDS = 200


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked.

    Attributes:
        mode, metric: which numbers.
        group, domain, words, only, apart: which prompts; see the module.
        order: of the list.
        notices: what of the address was not understood.
    """

    mode: Mode = "published"
    group: str = ""
    domain: str = ""
    words: str = ""
    only: Only = ""
    metric: str = ""
    apart: float = 0.0
    order: Order = ""
    notices: tuple[Notice, ...] = field(default=(), compare=False)

    @classmethod
    def read(cls, get: Callable[[str], str], evaluation: Evaluation) -> Asked:
        """Make one of the address's parameters; what cannot be read is left out and told in `notices`.

        Args:
            get: gives a parameter by name, "" where there is none.
            evaluation: what there is.
        """
        notices: list[Notice] = []

        def choice(name: str, known: Sequence[T], default: T) -> T:
            value = get(name)
            found = next((one for one in known if one == value), None)
            if value and found is None:
                listed = ", ".join(filter(None, known))
                notices.append(Notice(param=name, text=f"{name}: expected one of {listed}, got {value[:40]!r}"))
            return default if found is None else found

        figures = evaluation.figures["published"]
        metrics = [one["metric"] for one in figures["metrics"]]
        try:
            apart = _points(get("apart"))
        except ValueError as error:
            apart = 0.0
            notices.append(Notice(param="apart", text=f"apart: {error}"))
        return cls(
            mode=choice("mode", MODES, "published"),
            group=choice("group", ["", *figures["categories"]], ""),
            domain=choice("domain", ["", *evaluation.domain_keys], ""),
            words=" ".join(get("words").split())[:MAX_WORDS],
            only=choice("only", get_args(Only), ""),
            metric=choice("metric", metrics, metrics[0]),
            apart=apart,
            order=choice("order", get_args(Order), ""),
            notices=tuple(notices),
        )

    def to_params(self, evaluation: Evaluation) -> dict[str, str | None]:
        """Return the address's parameters; None is left out there."""
        first = evaluation.figures["published"]["metrics"][0]["metric"]
        return {
            "mode": None if self.mode == "published" else self.mode,
            "group": self.group or None,
            "domain": self.domain or None,
            "words": " ".join(self.words.split()) or None,
            "only": self.only or None,
            "metric": None if self.metric == first else self.metric,
            "apart": f"{self.apart:g}" if self.apart else None,
            "order": self.order or None,
        }

    def without(self) -> list[tuple[str, Asked]]:
        """Return, for each thing that leaves prompts out, its name and what is asked without it."""
        told = {
            "group": self.group,
            "domain": f"{self.domain} domain",
            "words": f"words {self.words!r}",
            "only": ONLY_NAMES[self.only].lower(),
            "apart": f"{self.apart:g} points apart",
        }
        plain = Asked()
        return [
            (name, replace(self, **{param: getattr(plain, param)}))
            for param, name in told.items()
            if getattr(self, param) != getattr(plain, param)
        ]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A prompt of the list.

    Attributes:
        prompt: of `board_data`.
        apart: how far models' shares of the metric lie apart, of 1; None where fewer than two have one.
        mean: of their shares; None where none has one.
        without_video: models that have no video.
    """

    prompt: Mapping[str, Any]
    apart: float | None
    mean: float | None
    without_video: tuple[str, ...]


def listed(evaluation: Evaluation, prompt: Mapping[str, Any], metric: str) -> Listed:
    """Return what the list says of a prompt."""
    shares = [video["shares"].get(metric) for video in prompt["videos"]]
    known = [share for share in shares if share is not None]
    return Listed(
        prompt=prompt,
        apart=max(known) - min(known) if len(known) > 1 else None,
        mean=math.fsum(known) / len(known) if known else None,
        without_video=tuple(
            name
            for name, videos in zip(evaluation.names, evaluation.videos, strict=True)
            if prompt["key"] not in videos
        ),
    )


def chosen(evaluation: Evaluation, asked: Asked) -> list[Listed]:
    """Return the prompts that are asked for, in order; those without a number of the metric stand last."""
    words = asked.words.casefold().split()
    keys = evaluation.domain_keys.get(asked.domain)
    found = []
    for prompt in evaluation.figures[asked.mode]["prompts"]:
        if asked.group and prompt["category"] != asked.group:
            continue
        if keys is not None and prompt["key"] not in keys:
            continue
        text = " ".join([prompt["prompt"], prompt["key"], *(one["label"] for one in prompt["references"])]).casefold()
        if not all(word in text for word in words):
            continue
        one = listed(evaluation, prompt, asked.metric)
        if asked.only == "no-video" and not one.without_video:
            continue
        if asked.only == "no-score" and not _lacks_score(prompt, asked.metric):
            continue
        # In percent points as they are shown, so that the 20 of a list is never just under 20.
        if asked.apart and (one.apart is None or round(100 * one.apart, 2) < asked.apart):
            continue
        found.append(one)
    if asked.order:
        name, sign = asked.order.lstrip("-"), -1 if asked.order.startswith("-") else 1

        def place(one: Listed) -> tuple[bool, float]:
            value = getattr(one, name)
            return value is None, 0.0 if value is None else sign * value

        found.sort(key=place)
    return found


def _lacks_score(prompt: Mapping[str, Any], metric: str) -> bool:
    return any(video["reasons"].get(metric) not in (None, "not-for") for video in prompt["videos"])


def _points(text: str) -> float:
    """Return percent points.

    Raises:
        ValueError: it is no number from 0 to 100.
    """
    if not text:
        return 0.0
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise ValueError(f"expected a number of percent points from 0 to 100, got {text[:40]!r}")
    return value
