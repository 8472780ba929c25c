"""Several models side by side as one page: prompts, reference images, videos and their scores, from `board_data`.

The page names images and videos where they lie, by paths relative to itself, and asks no server for anything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from opens2v_eval.pages import whole_page


def side_page(data: Mapping[str, Any], *, title: str, folder: Path) -> str:
    """Return the page.

    Args:
        data: of `board_data`.
        title: of the page.
        folder: where the page will lie.
    """
    columns = [(one["metric"], one["column"]) for one in data["metrics"]]
    cautions = "".join(f"<li>{escape(text)}</li>" for text in data["cautions"])
    sections: list[str] = []
    for at, category in enumerate(data["categories"]):
        prompts = [one for one in data["prompts"] if one["category"] == category]
        articles = "\n".join(_article(one, columns, folder) for one in prompts)
        sections.append(
            f"<details{' open' if at == 0 else ''}><summary>{escape(category)}, {len(prompts)} prompts</summary>\n"
            f"{articles}\n</details>"
        )
    return whole_page(
        "side_page",
        title=title,
        about=(
            f"OpenS2V-Eval, version {data['version']}, {data['domain']} domain, {data['mode']} mode, {len(data['models'])} "
            f"models, {len(data['prompts'])} prompts. Percent; best of each column underlined."
        ),
        table=_models(data["models"], columns),
        cautions=f"<p>What the published mode rewards:</p><ul>{cautions}</ul>" if cautions else "",
        categories="\n".join(sections),
    )


def _models(models: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str]]) -> str:
    head = "<th>Model</th>" + "".join(
        f'<th class="number">{escape(name)}</th>' for name in ("Total", *dict(columns).values())
    )
    values = [[model["total"], *(model["shares"].get(metric) for metric, _ in columns)] for model in models]
    best = [_highest(column) for column in zip(*values, strict=True)]
    rows: list[str] = []
    for model, row in zip(models, values, strict=True):
        lacking = ", ".join(name for metric, name in columns if metric in model["missing"])
        note = f' <span class="muted">(without {escape(lacking)}, counted as 0)</span>' if lacking else ""
        rows.append(f"<tr><th>{escape(model['name'])}{note}</th>{_cells(row, best)}</tr>")
    return f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"


def _article(prompt: Mapping[str, Any], columns: Sequence[tuple[str, str]], folder: Path) -> str:
    references = "".join(_reference(one, folder) for one in prompt["references"])
    shown = [
        (metric, name) for metric, name in columns if any(v["shares"].get(metric) is not None for v in prompt["videos"])
    ]
    best = {metric: _highest([video["shares"].get(metric) for video in prompt["videos"]]) for metric, _ in shown}
    videos: list[str] = []
    for video in prompt["videos"]:
        rows = "".join(
            f"<tr><th>{escape(name)}</th>{_cells([video['shares'].get(metric)], [best[metric]])}</tr>"
            for metric, name in shown
        )
        videos.append(
            f"<figure>{_video(video, prompt['key'], folder)}<figcaption>{escape(video['model'])}</figcaption>"
            f"<table>{rows}</table></figure>"
        )
    return (
        f'<article id="{escape(prompt["key"])}"><h3>{escape(prompt["key"])}</h3><p class="text">{escape(prompt["prompt"])}</p>'
        f'<div class="row references">{references}</div><div class="videos">{"".join(videos)}</div></article>'
    )


def _reference(reference: Mapping[str, Any], folder: Path) -> str:
    label = escape(reference["label"])
    if reference["path"] is None:
        return f'<figure><div class="none">no image here</div><figcaption>{label}</figcaption></figure>'
    address = escape(_address(reference["path"], folder))
    return f'<figure><img loading="lazy" src="{address}" alt="reference: {label}"><figcaption>{label}</figcaption></figure>'


def _video(video: Mapping[str, Any], key: str, folder: Path) -> str:
    if video["path"] is None:
        return '<div class="none">no video here</div>'
    address = escape(_address(video["path"], folder))
    label = escape(f"{key} of {video['model']}")
    return f'<video controls loop muted playsinline preload="none" src="{address}" aria-label="{label}"></video>'


def _cells(values: Sequence[float | None], best: Sequence[float | None]) -> str:
    made: list[str] = []
    for value, top in zip(values, best, strict=True):
        css = "number best" if value is not None and value == top else "number"
        made.append(f'<td class="{css}">{"-" if value is None else f"{value * 100:.2f}"}</td>')
    return "".join(made)


def _highest(values: Sequence[float | None]) -> float | None:
    """Return the highest of two or more values; one alone is best of nothing."""
    known = [value for value in values if value is not None]
    return max(known) if len(known) > 1 else None


def _address(path: str, folder: Path) -> str:
    """Return a file's address as the page names it."""
    whole = Path(path).absolute()
    try:
        relative = Path(os.path.relpath(whole, folder.absolute())).as_posix()
    except ValueError:  # another drive
        return whole.as_uri()
    # With "./" in front a name such as "javascript:x" is a path, too.
    return "./" + quote(relative)
