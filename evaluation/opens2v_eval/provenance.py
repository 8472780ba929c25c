"""What were numbers measured with? Told from the lines of a run; of others' score files nobody knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from opens2v_eval.jsonfiles import shortened
from opens2v_eval.scales import METRICS, SCALES, MetricName
from opens2v_eval.scorefiles import Scores


def measured_with(scores: Scores, metric: MetricName) -> tuple[Mapping[str, Any], ...]:
    """Return the settings that a metric's videos were scored with, the most frequent first; empty where nothing tells."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for entry in scores.details.get(metric, {}).values():
        outcome = entry.get("outcome")
        settings = outcome.get("settings") if isinstance(outcome, dict) else None
        if isinstance(settings, dict) and settings:
            found.setdefault(json.dumps(settings, sort_keys=True), []).append(settings)
    ranked = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(settings[0] for _, settings in ranked)


def provenance_notes(scores: Scores) -> list[str]:
    """Return what keeps numbers from being compared: with each other, or with the leaderboard."""
    told: list[str] = []
    for metric in METRICS:
        found = measured_with(scores, metric)
        if len(found) > 1:
            differing = sorted(
                name
                for name in {name for settings in found for name in settings}
                if len({json.dumps(settings.get(name), sort_keys=True) for settings in found}) > 1
            )
            told.append(
                f"{SCALES[metric].column}: its videos were scored with {len(found)} different settings ({', '.join(differing)}); "
                "run the metric again with one"
            )
        told += [f"{SCALES[metric].column}: {text}" for settings in found[:1] for text in _foreign(metric, settings)]
    return told


def _foreign(metric: MetricName, settings: Mapping[str, Any]) -> list[str]:
    """Return what is not as published."""
    if metric == "nexusscore" and ":" not in (detector := str(settings.get("detector", ":"))):
        return [
            f"measured with {shortened(detector)}, a stand-in for the published detector: no leaderboard compares with it"
        ]
    if metric == "naturalscore":
        from opens2v_eval.metrics.naturalscore import NaturalScore

        ours = NaturalScore().settings()
        if settings.get("prompt") == ours.get("prompt"):
            return [
                "asked in this project's own words: for numbers to compare with a leaderboard give upstream's (prompt_file)"
            ]
        if settings.get("model") != ours.get("model"):
            return [f"judged by {shortened(str(settings.get('model')))}, which is not the published judge"]
    return []
