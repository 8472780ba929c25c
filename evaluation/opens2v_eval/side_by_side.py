"""Several models side by side as plain values, for a page: prompts, references, videos and their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opens2v_eval.bootstrap import Bootstrap
from opens2v_eval.counting import CAUTIONS, raw_values
from opens2v_eval.prompts import CATEGORIES, Prompt, Prompts
from opens2v_eval.reasons import answers_of, reason_of
from opens2v_eval.scales import SCALES, MetricName, Mode, Version, weights
from opens2v_eval.scorefiles import Scores
from opens2v_eval.totals import PromptRow, by_category, by_prompt, score_table
from opens2v_eval.videos import SUFFIX


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model to show: its scores, and the folder of its videos, where those are at hand."""

    scores: Scores
    videos: Path | None = None


def board_data(
    prompts: Prompts,
    models: Mapping[str, Model],
    *,
    version: Version = "1.1",
    mode: Mode = "published",
    bootstrap: Bootstrap | None = Bootstrap(),  # noqa: B008 - a frozen value
) -> dict[str, Any]:
    """Return what a page of a benchmark shows, of values that JSON has.

    Args:
        prompts: of a domain.
        models: by the name to show.
        version: whose weights.
        mode: how numbers are counted.
        bootstrap: how intervals are made; None makes none.

    Returns:
        `domain`, `version`, `mode`, `cautions`; `metrics`: what there is to show, in order; `models`: figures of each, best
        first; `categories`: in order; `prompts`: each with its references (`path` where the image is on disk, else None) and a
        video per model, in the order of `models`, by metric: `shares` of 1 and `values` in the metric's own unit, not clamped,
        None where there is none; `reasons`, see `reasons.Reason`, where there is no share; and `answers` of the judge.
    """
    weighed = weights(prompts.domain, version)
    tables = {
        name: score_table(
            model.scores,
            domain=prompts.domain,
            version=version,
            mode=mode,
            prompts=prompts,
            allow_missing=True,
            bootstrap=bootstrap,
        )
        for name, model in models.items()
    }
    ranked = sorted(models, key=lambda name: (-tables[name].total, name))
    rows: dict[str, dict[str, PromptRow]] = {}
    raw: dict[str, dict[MetricName, Mapping[str, float] | None]] = {
        name: {metric: raw_values(model.scores, metric, mode) for metric in weighed} for name, model in models.items()
    }
    figures: list[dict[str, Any]] = []
    for name in ranked:
        chosen: dict[str, Any] = {"domain": prompts.domain, "version": version, "mode": mode, "prompts": prompts}
        rows[name] = {row.key: row for row in by_prompt(models[name].scores, **chosen)}
        table = tables[name]
        figures.append(
            {
                "name": name,
                "total": table.total,
                "total_interval": None if table.interval is None else [table.interval.low, table.interval.high],
                "missing": list(table.missing),
                "shares": {line.metric: line.share for line in table.lines},
                "coverage": {
                    line.metric: [line.coverage.num_counted, line.coverage.num_expected] for line in table.lines
                },
                "notes": [str(note) for note in table.notes],
                "categories": {row.category: dict(row.shares) for row in by_category(models[name].scores, **chosen)},
            }
        )
    return {
        "domain": prompts.domain,
        "version": version,
        "mode": mode,
        "cautions": list(CAUTIONS) if mode == "published" else [],
        "metrics": [
            {"metric": metric, "column": SCALES[metric].column, "weight": weight} for metric, weight in weighed.items()
        ],
        "models": figures,
        "categories": [name for name in CATEGORIES if any(prompt.category == name for prompt in prompts)],
        "prompts": [
            {
                "key": prompt.key,
                "category": prompt.category,
                "prompt": prompt.prompt,
                "references": _references(prompt),
                "videos": [
                    {
                        "model": name,
                        "path": _video(models[name].videos, prompt.key),
                        "shares": dict(rows[name][prompt.key].shares),
                        **_found(models[name].scores, prompt, raw[name], mode),
                    }
                    for name in ranked
                ],
            }
            for prompt in prompts
        ],
    }


def _found(
    scores: Scores, prompt: Prompt, raw: Mapping[MetricName, Mapping[str, float] | None], mode: Mode
) -> dict[str, Any]:
    reasons = {metric: reason_of(scores, metric, prompt, values, mode=mode) for metric, values in raw.items()}
    return {
        "values": {metric: None if values is None else values.get(prompt.key) for metric, values in raw.items()},
        "reasons": {metric: reason for metric, reason in reasons.items() if reason is not None},
        "answers": answers_of(scores, prompt.key),
    }


def _references(prompt: Prompt) -> list[dict[str, Any]]:
    return [
        {"label": label, "name": name, "path": str(path) if path.is_file() else None}
        for label, name, path in zip(prompt.class_labels, prompt.image_names, prompt.image_paths, strict=True)
    ]


def _video(folder: Path | None, key: str) -> str | None:
    if folder is None:
        return None
    path = folder / f"{key}{SUFFIX}"
    return str(path) if path.is_file() else None
