"""The benchmark's metrics by name; each is imported when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from opens2v_eval.metrics.base import Metric, Values
from opens2v_eval.scales import MetricName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["METRIC_NAMES", "Metric", "Values", "checked_name", "create_metric", "create_metrics"]

# Cheap ones first, so that a fault of the videos shows before large models load.
_CLASSES: dict[MetricName, str] = {
    "motion_amplitude": "MotionAmplitude",
    "aesthetics": "Aesthetics",
    "facesim": "FaceSim",
    "gmescore": "GmeScore",
    "nexusscore": "NexusScore",
    "motion_smoothness": "MotionSmoothness",
    "naturalscore": "NaturalScore",
}
METRIC_NAMES: tuple[MetricName, ...] = tuple(_CLASSES)


def create_metric(name: MetricName, **options: Any) -> Metric:
    """Make a metric with the published models and numbers, but for the options given; nothing is loaded yet.

    Args:
        name: one of `METRIC_NAMES`.
        options: of the metric's class.

    Raises:
        ValueError: no such metric.
        TypeError: the metric has no such option.
    """
    known = checked_name(name)
    kind = getattr(import_module(f"{__name__}.{known}"), _CLASSES[known])
    takes = signature(kind).parameters
    if strangers := sorted(set(options) - set(takes)):
        raise TypeError(f"{known} has no option {', '.join(strangers)}; it has {', '.join(takes) or 'none'}")
    return kind(**options)


def create_metrics(
    names: str | Iterable[MetricName] = "all", *, options: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Metric]:
    """Make several metrics.

    Args:
        names: names, or `all`; a string may hold several with commas between.
        options: metric name to options of its class.

    Raises:
        ValueError: no such metric, a name given twice, or options of a metric that is not among them.
        TypeError: a metric has no such option.
    """
    wanted = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    if wanted == ["all"]:
        wanted = list(METRIC_NAMES)
    if len(set(wanted)) != len(wanted):
        raise ValueError(f"each metric is named once, not {', '.join(wanted)}")
    given = options or {}
    if strangers := sorted(set(given) - set(wanted)):
        raise ValueError(f"options were given for {', '.join(strangers)}, which is not among {', '.join(wanted)}")
    return [create_metric(checked_name(name), **given.get(name, {})) for name in wanted]


def checked_name(name: str) -> MetricName:
    """Return a name that is a metric's.

    Raises:
        ValueError: it is none.
    """
    for known in METRIC_NAMES:
        if known == name:
            return known
    raise ValueError(f"a metric is one of {', '.join(METRIC_NAMES)}, not {name!r}")
