"""SQL: one statement over the catalog's views, which can only read them; prepared questions; the answer as a table."""

from __future__ import annotations

import csv
import io
from html import escape
from typing import TYPE_CHECKING, Any

import streamlit as st

from opens2v_data.errors import CatalogError, QueryError
from opens2v_data.query.questions import Question, questions
from opens2v_explorer import answers, markup, state
from opens2v_explorer.filters import MAX_STATEMENT, Filters
from opens2v_explorer.runtime import current

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ROWS = 1_000
SECONDS = 10.0
MAX_CSV_ROWS = 100_000

EXAMPLE = """SELECT part, count(*) AS num_clips, avg(aesthetic) AS aesthetic
FROM clips
GROUP BY part
ORDER BY part"""


def page() -> None:
    """Show the page."""
    statement = state.param("sql")[:MAX_STATEMENT]
    name = state.param("question")
    st.html("<h1 class='o-title'>Ask the tables</h1>")
    _choose(name)
    asked = next((one for one in questions() if one.name == name), None)
    if name and asked is None:
        known = ", ".join(one.name for one in questions())
        st.html(markup.problem("There is no such question.", f"expected one of {known}, got {name[:80]!r}"))
    if asked is not None:
        _question(asked)
    else:
        _statement(statement)
    _tables()


# -- a statement of the reader's


def _statement(statement: str) -> None:
    state.offer("o-sql", statement or EXAMPLE)
    st.text_area(
        "Statement", key="o-sql", height=190, max_chars=MAX_STATEMENT,
        help=f"One SELECT. It can read the views below and nothing else; at most {MAX_ROWS:,} rows and {SECONDS:.0f} seconds.",
        on_change=_on_statement,
    )  # fmt: skip
    if st.button("Run", key="o-run", type="primary"):
        state.set_params(sql=st.session_state["o-sql"], question=None)
        statement = st.session_state["o-sql"]
    st.html(
        f'<p class="o-status">Reads only: at most {MAX_ROWS:,} rows, {SECONDS:.0f} seconds. The statement is in the address.</p>'
    )
    if not statement.strip():
        return
    with st.spinner("Asking the tables…"):
        try:
            table = current().safe_sql(statement, max_rows=MAX_ROWS + 1, seconds=SECONDS)
        except (QueryError, CatalogError, ValueError) as error:
            st.html(_wrong(str(error)))
            return
    links = ""
    if "clip_id" in table.column_names:
        filters = Filters(among=statement)
        links = markup.link(
            state.link_to("browse", filters), "Open these clips in Browse", css="o-button", data_testid="sql-browse"
        )
    _show(
        table,
        key="statement",
        links=links,
        csv_of=lambda: _csv(current().safe_sql(statement, max_rows=MAX_CSV_ROWS, seconds=SECONDS * 3)),
    )


def _on_statement() -> None:
    state.set_params(sql=st.session_state["o-sql"], question=None)


# -- questions that are prepared


def _choose(name: str) -> None:
    options = ["", *(one.name for one in questions())]
    st.session_state["o-question"] = name if name in options else ""
    titles = {one.name: f"{one.name}: {one.title}" for one in questions()}
    st.selectbox(
        "Question", options, key="o-question", on_change=_on_question,
        format_func=lambda one: titles.get(one, "A statement of your own"),
    )  # fmt: skip


def _on_question() -> None:
    others = {name: None for name in state.params() if name.startswith("p.")}
    state.set_params(question=st.session_state["o-question"] or None, sql=None, **others)


def _question(asked: Question) -> None:
    st.html(f'<p class="o-about">{escape(asked.about)}</p>')
    values = {one.name: state.param(f"p.{one.name}") for one in asked.parameters}
    if asked.parameters:
        columns = st.columns(min(3, len(asked.parameters)))
        for at, one in enumerate(asked.parameters):
            key = f"o-p-{asked.name}-{one.name}"
            state.offer(key, values[one.name])
            columns[at % len(columns)].text_input(
                one.name, key=key, help=f"{one.meaning} ({one.type.lower()})", placeholder=_placeholder(one.default),
                on_change=_on_parameter, args=(one.name, key),
            )  # fmt: skip
    given = {name: value for name, value in values.items() if value != ""}
    if missing := [one for one in asked.parameters if one.is_required and one.name not in given]:
        said = "; ".join(f"{one.name}: {one.meaning}" for one in missing)
        st.html(f'<section class="o-state" data-testid="state"><h2>Needed first</h2><p>{escape(said)}</p></section>')
        return
    with st.spinner("Asking the tables…"):
        try:
            table = current().catalog.query.ask(asked.text, asked.bind(given))
        except (QueryError, CatalogError, ValueError) as error:
            st.html(_wrong(str(error)))
            return
    links = ""
    if "clip_id" in table.column_names:
        ids = tuple(dict.fromkeys(one for one in table.column("clip_id").to_pylist() if one is not None))[:1000]
        if ids:
            links = markup.link(
                state.link_to("browse", Filters(ids=ids)), f"Open these {len(ids):,} clips in Browse", css="o-button",
                data_testid="sql-browse",
            )  # fmt: skip
    _show(table, key=asked.name, links=links, csv_of=lambda: _csv(table))
    meanings = "".join(f"<dt>{escape(one.name)}</dt><dd>{escape(one.meaning)}</dd>" for one in asked.columns)
    st.html(
        f'<details class="o-facet"><summary>What the columns are</summary><dl class="o-meanings">{meanings}</dl></details>'
    )
    text = f'<pre class="o-sql" tabindex="0">{escape(asked.text)}</pre>'
    st.html(f'<details class="o-facet"><summary>The statement</summary>{text}</details>')


def _placeholder(default: object) -> str:
    return "" if default is None else str(default)


def _on_parameter(name: str, key: str) -> None:
    state.set_params(**{f"p.{name}": st.session_state[key] or None})


# -- answers


def _show(table: pa.Table, *, key: str, links: str, csv_of: Any) -> None:
    is_cut = table.num_rows > MAX_ROWS
    rows = table.slice(0, MAX_ROWS)
    noun = "row" if rows.num_rows == 1 else "rows"
    more = f"; there are more, {MAX_ROWS:,} are shown" if is_cut else ""
    st.html(
        f'<p class="o-status" data-testid="sql-count" data-announce="1"><b>{rows.num_rows:,}</b> {noun}{more} {links}</p>'
    )
    if rows.num_rows:
        names = rows.column_names
        shown = [_linked(row) for row in rows.to_pylist()]
        st.html(markup.table(names, shown, caption="Answer", testid="answer"))
        st.download_button(
            "Download CSV", csv_of, file_name=f"opens2v-{key}.csv", mime="text/csv", on_click="ignore", key=f"csv-{key}"
        )


def _linked(row: dict[str, Any]) -> dict[str, Any]:
    if isinstance(row.get("part"), str) and isinstance(row.get("clip_key"), str):
        href = state.link_to("clip", Filters(), key=f"{row['part']}/{row['clip_key']}")
        row = row | {"clip_key": markup.Html(markup.link(href, escape(row["clip_key"])))}
    return row


def _csv(table: pa.Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(table.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return text.getvalue()


def _wrong(message: str) -> str:
    text = f'<pre class="o-plain-text">{escape(message)}</pre>'
    return f'<div class="o-notice" role="alert" data-testid="problem"><b>No answer.</b>{text}</div>'


# -- what can be asked


@st.fragment
def _tables() -> None:
    with st.expander("Tables, columns and macros"):
        query = current().catalog.query
        names = query.table_names()
        chosen = st.selectbox("Table or macro", names, key="o-table", index=names.index("clips"))
        kind, columns = answers.described(chosen)
        rows = [{"name": name, "type": type_} for name, type_ in columns]
        what = "Columns" if kind == "view" else "Parameters"
        st.html(
            markup.table(
                ["name", "type"] if kind == "view" else ["name"], rows, caption=f"{what} of {chosen}", testid="columns"
            )
        )
