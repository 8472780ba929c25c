"""Pieces of pages as HTML. All text of data and requests is escaped here; what is given as `html` was made here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from opens2v_explorer.filters import Filters, Notice
from opens2v_explorer.state import PATHS, link_here, link_to
from opens2v_explorer.states import State

TITLES = {
    "overview": "Overview",
    "browse": "Browse",
    "clip": "Clip",
    "triage": "Triage",
    "pairs": "Pairs",
    "gpt_views": "GPT views",
    "sql": "SQL",
    "review": "Review",
    "evaluation": "Evaluation",
}
"""Of pages, by module."""


def link(href: str, html: str, *, css: str = "", keep: str = "", **attributes: str) -> str:
    """Return a link that is followed without a reload.

    Args:
        href: address.
        html: inside of it.
        css: classes.
        keep: name by which the focus finds it again when the page has changed.
        attributes: further ones; `_` in a name stands for `-`.
    """
    given = {"class": css, "data-keep": keep, **{name.replace("_", "-"): value for name, value in attributes.items()}}
    written = "".join(f' {name}="{escape(value)}"' for name, value in given.items() if value)
    return f'<a data-soft="1" href="{escape(href)}" target="_self"{written}>{html}</a>'


def header(page: str, filters: Filters, *, catalog: str, pages: Iterable[str] = PATHS) -> str:
    """Return the head of every page: a link past it, the catalog's name, and the pages.

    Args:
        page: the one shown.
        filters: carried to the others.
        catalog: what to say of the catalog.
        pages: those there are.
    """
    items = []
    for name in pages:
        current = {"aria_current": "page"} if name == page else {}
        body = link(
            link_to(name, filters), escape(TITLES[name]), keep=f"nav-{name}", data_testid=f"nav-{name}", **current
        )
        items.append(f"<li>{body}</li>")
    return (
        '<a class="o-skip" href="#o-main">Skip to content</a>'
        '<header class="o-header"><span class="o-name">OpenS2V explorer</span>'
        f'<nav class="o-nav" aria-label="Pages"><ul>{"".join(items)}</ul></nav>'
        f'<span class="o-catalog" data-testid="catalog">{escape(catalog)}</span></header>'
    )


def chips(filters: Filters, *, edit: bool = False) -> str:
    """Return the filters, each with a link that removes it; "" without any.

    Args:
        filters: to show.
        edit: whether to offer the page where they are changed.
    """
    made = filters.chips()
    if not made:
        return ""
    items = []
    for at, chip in enumerate(made):
        inside = f'{escape(chip.label)}<span class="o-x" aria-hidden="true">×</span><span class="o-hidden"> remove filter</span>'
        items.append(
            f"<li>{link(link_here(chip.without), inside, css='o-chip', keep=f'chip-{at}', data_testid='chip')}</li>"
        )
    none = Filters(sort=filters.sort)
    items.append(
        f"<li>{link(link_here(none), 'Remove all', css='o-plain', keep='chip-all', data_testid='chips-clear')}</li>"
    )
    if edit:
        change = link(link_to("browse", filters), "Change in Browse", css="o-plain", data_testid="chips-edit")
        items.append(f"<li>{change}</li>")
    return f'<ul class="o-chips" aria-label="Filters" data-testid="chips">{"".join(items)}</ul>'


def notices(found: Iterable[Notice]) -> str:
    """Return what of the URL was left out."""
    return "".join(
        f'<p class="o-notice" role="alert" data-testid="notice"><b>Left out of the address.</b> {escape(one.text)}</p>'
        for one in found
    )


def problem(title: str, text: str) -> str:
    """Return what went wrong, with its message as it is."""
    return f'<p class="o-notice" role="alert" data-testid="problem"><b>{escape(title)}</b>\n{escape(text)}</p>'


def state(one: State, *, html: str = "") -> str:
    """Return a state in words, and what may be done about it."""
    lines = "".join(f"<p>{escape(text)}</p>" for text in (one.detail, one.advice) if text)
    return (
        f'<section class="o-state" data-testid="state" data-state="{escape(one.code)}"><h2>{escape(one.title)}</h2>'
        f"{lines}{html}</section>"
    )


def warning(one: State) -> str:
    """Return a state that leaves the page whole, in few lines."""
    return (
        f'<p class="o-notice" role="status" data-testid="warning" data-state="{escape(one.code)}"><b>{escape(one.title)}.</b> '
        f"{escape(one.detail)}\n{escape(one.advice)}</p>"
    )


def table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, caption: str, testid: str = "table") -> str:
    """Return rows as a table; numbers stand to the right.

    Args:
        columns: names of the columns, in order.
        rows: values by name. A value that is `Html` is put in as it is.
        caption: what the table is, for readers.
        testid: of the table.
    """
    listed = list(rows)
    css = {name: _column_css([row.get(name) for row in listed]) for name in columns}
    head = "".join(f'<th scope="col"{css[name]}>{escape(name.replace("_", " "))}</th>' for name in columns)
    body = [f"<tr>{''.join(f'<td{css[name]}>{shown(row.get(name))}</td>' for name in columns)}</tr>" for row in listed]
    return (
        f'<div class="o-scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="o-table" data-testid="{escape(testid)}"><caption class="o-hidden">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _column_css(values: Sequence[Any]) -> str:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return ' class="o-number"'
    longest = max((len(value) for value in known if isinstance(value, str) and not isinstance(value, Html)), default=0)
    if longest > LONG_TEXT:
        return ' class="o-long"'
    return ' class="o-text"' if any(isinstance(value, Html) and "href" in value for value in known) else ""


class Html(str):
    """A text that is HTML already, made by this module's functions."""


MAX_CELL = 300
"""Characters of a value in a table."""

LONG_TEXT = 80
"""Characters from which on a column is given room."""


def shown(value: object) -> str:
    """Return a value as HTML: numbers with few digits, null as a dash that readers call missing."""
    if isinstance(value, Html):
        return value
    if value is None:
        return '<span aria-label="missing">–</span>'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    text = str(value)
    return escape(text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…")
