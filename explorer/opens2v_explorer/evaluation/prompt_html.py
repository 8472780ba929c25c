"""A prompt as HTML: its text, its reference images, each model's video, and their scores. All text of files is escaped here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from opens2v_explorer import markup, stage
from opens2v_explorer.evaluation import urls
from opens2v_explorer.evaluation.asked import Listed
from opens2v_explorer.evaluation.figures_html import columns_of, percent
from opens2v_explorer.evaluation.loading import Evaluation
from opens2v_explorer.states import state

MAX_ANSWER = 300
"""Characters of a judge's answer that are shown."""


def item_html(one: Listed, href: str, *, column: str) -> str:
    """Return a prompt of the list, a link that shows it.

    Args:
        one: what to say of it.
        href: where it is shown.
        column: the metric's name.
    """
    key = one.prompt["key"]
    if one.apart is not None:
        said = f"{100 * one.apart:.2f} apart"
    elif one.mean is not None:
        said = f"{percent(one.mean)}, one score"
    else:
        said = f"no {column}"
    lacking = ""
    if one.without_video:
        lacking = f'<span class="say lacks">No video: {escape(", ".join(one.without_video))}</span>'
    inside = (
        f'<span class="line"><b>{escape(key)}</b><span class="apart">{escape(said)}</span></span>'
        f'<span class="say text">{escape(one.prompt["prompt"])}</span>{lacking}'
    )
    return markup.link(href, inside, css="item", data_testid="prompt-item", data_key=key)


def prompt_html(evaluation: Evaluation, prompt: Mapping[str, Any]) -> str:
    """Return a prompt in full; its videos stand in the order in which models were given."""
    key = prompt["key"]
    of_model = {video["model"]: video for video in prompt["videos"]}
    videos = [of_model[name] for name in evaluation.names]
    references = "".join(_reference(key, nth, one) for nth, one in enumerate(prompt["references"]))
    figures = "".join(_video(evaluation, number, key) for number in range(len(videos)))
    return (
        f'<article data-testid="prompt" data-key="{escape(key)}" aria-label="Prompt {escape(key)}">'
        f'<div class="about"><div class="words"><h2>{escape(key)} <span class="group">{escape(prompt["category"])}</span></h2>'
        f'<p class="prompt-text" data-testid="prompt-text">{escape(prompt["prompt"])}</p></div>'
        f'<div class="references" role="group" aria-label="Reference images">{references}</div></div>'
        f'<div class="videos" data-testid="videos">{figures}</div>{_scores(evaluation, videos)}{_answers(videos)}</article>'
    )


def _reference(key: str, nth: int, reference: Mapping[str, Any]) -> str:
    label = reference["label"]
    if reference["path"] is None:
        found = state("no-reference")
        shown = (
            f'<span class="none" data-state="{found.code}"><strong>{escape(found.title)}</strong>'
            f"<code>{escape(reference['name'])}</code></span>"
        )
    else:
        shown = stage.picture(urls.reference(key, nth), f"Reference image {nth + 1}: {label}", testid="reference")
    return f"<figure>{shown}<figcaption>{escape(label)}</figcaption></figure>"


def _video(evaluation: Evaluation, number: int, key: str) -> str:
    name = evaluation.names[number]
    label = escape(f"{key} of {name}")
    if key in evaluation.videos[number]:
        shown = (
            f'<span class="film"><video controls muted playsinline preload="auto" src="{escape(urls.video(number, key))}" '
            f'aria-label="{label}" data-testid="model-video"></video><span class="none" role="status" hidden></span></span>'
        )
    else:
        found = state("no-video", f"The folder has no {key}.mp4.")
        shown = (
            f'<span class="film none" data-state="{found.code}" data-testid="no-video"><strong>{escape(found.title)}</strong>'
            f"<span>{escape(found.detail)}</span></span>"
        )
    return f'<figure data-model="{escape(name)}">{shown}<figcaption>{escape(name)}</figcaption></figure>'


def _scores(evaluation: Evaluation, videos: Sequence[Mapping[str, Any]]) -> str:
    """Return the scores of all models, a row per metric: in the metric's own unit, and as a share in percent."""
    names = [video["model"] for video in videos]
    head = "".join(f'<th scope="colgroup" colspan="2">{escape(name)}</th>' for name in names)
    units = '<th scope="col" class="number first">value</th><th scope="col" class="number">of 100</th>' * len(names)
    rows = []
    for metric, column in columns_of(evaluation).items():
        shares = [video["shares"][metric] for video in videos]
        known = [share for share in shares if share is not None]
        best = max(known) if len(known) > 1 else None
        cells = "".join(_cells(evaluation, video, metric, best) for video in videos)
        apart = f"{100 * (max(known) - min(known)):.2f}" if len(known) > 1 else stage.number(None)
        last = f'<td class="number first">{apart}</td>' if len(names) > 1 else ""
        rows.append(f'<tr data-metric="{escape(metric)}"><th scope="row">{escape(column)}</th>{cells}{last}</tr>')
    more = '<th scope="col" rowspan="2" class="number first">Apart</th>' if len(names) > 1 else ""
    said = "Scores of this prompt: in the metric's own unit, and scaled to 100; the best is underlined"
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{said}"><table class="values" data-testid="values">'
        f'<caption class="sr">{said}</caption><thead><tr><th scope="col" rowspan="2">Metric</th>{head}{more}</tr>'
        f"<tr>{units}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cells(evaluation: Evaluation, video: Mapping[str, Any], metric: str, best: float | None) -> str:
    value, share = video["values"][metric], video["shares"][metric]
    if share is None:
        code = video["reasons"][metric]
        if code == "not-run" and video["model"] not in evaluation.scored:
            code = "no-scores"
        found = state(code)
        words = escape(found.title) if value is None else f"{escape(found.title)}: {_plain(value)}"
        about = escape(f"{found.detail} {found.advice}".strip())
        return f'<td colspan="2" class="why first" data-state="{code}" title="{about}">{words}</td>'
    mark = ' class="best"' if share == best else ""
    said = '<span class="sr"> (best)</span>' if share == best else ""
    return f'<td class="number first">{_plain(value)}</td><td class="number"><span{mark}>{percent(share)}</span>{said}</td>'


def _answers(videos: Sequence[Mapping[str, Any]]) -> str:
    """Return what the judge of NaturalScore said in words, where it did."""
    told = []
    for video in videos:
        if not any(not answer.strip().isdigit() for answer in video["answers"]):
            continue
        quoted = "".join(f"<li>{escape(_shortened(answer))}</li>" for answer in video["answers"])
        told.append(f"<p>{escape(video['model'])}, the judge of NaturalScore, run by run:</p><ol>{quoted}</ol>")
    return f'<div class="answers" data-testid="answers">{"".join(told)}</div>' if told else ""


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_ANSWER else text[: MAX_ANSWER - 1] + "…"


def _plain(value: float) -> str:
    return f"{value:.4g}"
