"""The benchmark: which model does better where, and what do its videos look like?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any, cast

import streamlit as st

from opens2v_explorer import markup
from opens2v_explorer.evaluation.asked import ONLY_NAMES, ORDER_NAMES, Asked, Listed, chosen
from opens2v_explorer.evaluation.figures_html import board_html, columns_of, notes_html, totals_html
from opens2v_explorer.evaluation.loading import MODES, Evaluation
from opens2v_explorer.evaluation.stage import show_stage, stage_data
from opens2v_explorer.filters import Notice
from opens2v_explorer.runtime import current
from opens2v_explorer.state import link_to, offer, param, set_params
from opens2v_explorer.states import state

PAGE = "evaluation"


def page() -> None:
    """Show models' totals, the prompts that the URL asks for, and one of them with each model's video."""
    evaluation = current().evaluation
    st.html("<h1 class='o-title'>Evaluation</h1>")
    if evaluation is None:
        st.html(markup.problem("There is no model to show.", "Start the explorer with --eval NAME=VIDEOS,SCORES."))
        return
    asked = Asked.read(_param, evaluation)
    st.html(_about(evaluation, asked) + totals_html(evaluation, asked.mode))
    st.html(board_html(evaluation) + notes_html(evaluation))
    _filters(evaluation, asked)
    found = chosen(evaluation, asked)
    shown, notices = _shown(evaluation, asked, found)
    if said := [*asked.notices, *notices]:
        st.html(markup.notices(said))
    st.html(_status(evaluation, asked, found))
    if shown is None:
        st.html(markup.state(state("no-prompt-fits"), html=_offers(evaluation, asked)))
        return
    show_stage(stage_data(evaluation, found, shown, metric=asked.metric, href=_linker(evaluation, asked)))


def _about(evaluation: Evaluation, asked: Asked) -> str:
    about = (
        f"OpenS2V-Eval, version {evaluation.version}, {evaluation.domain} domain: {len(evaluation)} prompts, "
        f"of {evaluation.source}"
    )
    links = "".join(
        markup.link(
            _address(evaluation, replace(asked, mode=mode), param("prompt") or None),
            escape(mode.capitalize()),
            css="o-button",
            keep=f"mode-{mode}",
            data_testid=f"mode-{mode}",
            **({"aria_current": "true"} if mode == asked.mode else {}),
        )
        for mode in MODES
    )
    return (
        f'<p class="o-status" data-testid="eval-about">{escape(about)}</p>'
        f'<div class="o-tools o-modes" role="group" aria-label="How numbers are counted">{links}</div>'
    )


def _filters(evaluation: Evaluation, asked: Asked) -> None:
    """Show what prompts are chosen by; what is set goes into the URL."""
    figures = evaluation.figures["published"]
    columns = columns_of(evaluation)
    domains = {"": f"All {len(evaluation)}", **{one: f"{one.capitalize()} domain" for one in evaluation.domain_keys}}
    groups = {"": "All categories", **{one: one for one in figures["categories"]}}
    with st.container(key="eval-filters"):
        top, bottom = (st.columns(4, vertical_alignment="bottom") for _ in range(2))
    with top[0]:
        _select("Category", "group", groups, asked.group)
    with top[1]:
        if len(domains) > 1:
            _select("Prompts of", "domain", domains, asked.domain)
    with top[2]:
        offer("eval-words", asked.words)
        st.text_input(
            "Text", key="eval-words", on_change=_on("words"), max_chars=200, placeholder="words of the prompt"
        )
    with top[3]:
        _select("Only where", "only", ONLY_NAMES, asked.only)
    with bottom[0]:
        _select("Metric", "metric", columns, asked.metric)
    with bottom[1]:
        offer("eval-apart", asked.apart)
        st.number_input(
            "Models differ by, percent points or more", 0.0, 100.0, step=5.0, format="%g", key="eval-apart",
            on_change=_on("apart"),
        )  # fmt: skip
    with bottom[2]:
        _select("Order", "order", ORDER_NAMES, asked.order)


def _select(label: str, name: str, options: Mapping[Any, str], value: str) -> None:
    key = f"eval-{name}"
    offer(key, value)
    st.selectbox(label, list(options), key=key, format_func=lambda one: options[one], on_change=_on(name))


def _on(name: str) -> Callable[[], None]:
    """Return what writes one parameter to the URL when its widget is changed."""

    def changed() -> None:
        evaluation = current().evaluation
        assert evaluation is not None
        wanted = {name: st.session_state[f"eval-{name}"]}
        asked = replace(Asked.read(_param, evaluation), **cast("dict[str, Any]", wanted))
        set_params(**asked.to_params(evaluation), prompt=None)

    return changed


def _shown(
    evaluation: Evaluation, asked: Asked, found: Sequence[Listed]
) -> tuple[Mapping[str, Any] | None, list[Notice]]:
    """Return the prompt to show, that of the URL or else the first of the list, and what is to be said of it."""
    first = found[0].prompt if found else None
    key = param("prompt")
    if not key:
        return first, []
    if any(one.prompt["key"] == key for one in found):
        return next(one.prompt for one in found if one.prompt["key"] == key), []
    prompts = evaluation.figures[asked.mode]["prompts"]
    known = next((one for one in prompts if one["key"] == key), None)
    if known is None:
        return first, [Notice(param="prompt", text=f"prompt: there is none of the key {key[:40]!r}")]
    return known, []


def _status(evaluation: Evaluation, asked: Asked, found: Sequence[Listed]) -> str:
    column = columns_of(evaluation)[asked.metric]
    key = param("prompt")
    outside = ""
    if key in evaluation.references and all(one.prompt["key"] != key for one in found):
        outside = f" · {escape(key)} is shown, which is none of them"
    clear = ""
    if asked.without():
        plain = Asked(mode=asked.mode, metric=asked.metric, order=asked.order)
        href = _address(evaluation, plain, key or None)
        clear = f" · {markup.link(href, 'Show all', css='o-plain', keep='eval-clear', data_testid='eval-clear')}"
    return (
        f'<p class="o-status" role="status" data-testid="eval-status" data-announce="1"><b>{len(found)}</b> of {len(evaluation)} '
        f"prompts, compared by {escape(column)}, {asked.mode} mode{outside}{clear}</p>"
    )


def _offers(evaluation: Evaluation, asked: Asked) -> str:
    """Return links that ask for less, each with how many prompts that gives."""
    items = []
    for name, wider in asked.without():
        number = len(chosen(evaluation, wider))
        if number:
            link = markup.link(
                _address(evaluation, wider, None), f"Without {escape(name)}", css="o-plain", data_testid="eval-drop"
            )
            items.append(f"<li>{link}: {number} {'prompt' if number == 1 else 'prompts'}</li>")
    plain = Asked(mode=asked.mode, metric=asked.metric, order=asked.order)
    everything = markup.link(_address(evaluation, plain, None), "Show all", css="o-plain", data_testid="eval-drop")
    return f"<ul>{''.join(items)}<li>{everything}: {len(evaluation)} prompts</li></ul>"


def _param(name: str) -> str:
    return param(name)


def _address(evaluation: Evaluation, asked: Asked, key: str | None) -> str:
    return link_to(PAGE, None, **asked.to_params(evaluation), prompt=key)


def _linker(evaluation: Evaluation, asked: Asked) -> Callable[[str], str]:
    return lambda key: _address(evaluation, asked, key)
