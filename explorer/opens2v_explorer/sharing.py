"""What is done with the clips of some filters: the address, the SQL, a saved slice, ids."""

from __future__ import annotations

import csv
import io
import tempfile
from html import escape
from pathlib import Path

import streamlit as st

from opens2v_data.errors import QueryError
from opens2v_explorer import answers, state
from opens2v_explorer.filters import Filters

MAX_SHOWN_SQL = 4_000
"""Characters of a statement that are shown; ids of a search can be 800 kB."""

MAX_EXPORTED = 2_000_000
"""Clips that a browser is given as text: 100 MB."""


def sharing(filters: Filters) -> None:
    """Show it."""
    st.html(
        '<p class="o-status">This view is in the address. '
        '<button type="button" class="o-button" data-copy="@address" data-testid="copy-link">Copy link</button></p>'
    )
    statement = sql_of(filters)
    if statement is None:
        st.html('<p class="o-status">As SQL these clips would be a list of very many ids: save the slice instead.</p>')
    else:
        shown = statement if len(statement) <= MAX_SHOWN_SQL else statement[: MAX_SHOWN_SQL - 1] + "…"
        st.html(
            f'<pre class="o-sql" data-testid="sql" tabindex="0">{escape(shown)}</pre>'
            f'<button type="button" class="o-button" data-copy="{escape(statement)}" data-testid="copy-sql">Copy SQL</button>'
        )
    name = f"opens2v-{filters.fingerprint[:8]}"
    st.download_button(
        "Save slice", lambda: slice_bytes(filters), file_name=f"{name}.slice.parquet",
        mime="application/vnd.apache.parquet", on_click="ignore", key="save-slice", use_container_width=True,
        help="For opens2v explore --slice, opens2v fetch, ClipLoader and catalog.slice(path)",
    )  # fmt: skip
    st.download_button(
        "Export ids, CSV", lambda: ids_csv(filters), file_name=f"{name}.csv", mime="text/csv", on_click="ignore",
        key="export-csv", use_container_width=True, help="clip_id, part, clip_key",
    )  # fmt: skip
    st.download_button(
        "Export keys, text", lambda: ids_text(filters), file_name=f"{name}.txt", mime="text/plain", on_click="ignore",
        key="export-txt", use_container_width=True, help="part/clip_key, one a line",
    )  # fmt: skip


def sql_of(filters: Filters) -> str | None:
    """Return the statement that gives the clips; None where it is too long to write out, or there is none."""
    try:
        return state.current_slice(filters).sql()
    except QueryError:
        return None


def slice_bytes(filters: Filters) -> bytes:
    """Return the file that `Slice.save` writes."""
    with tempfile.TemporaryDirectory(prefix="opens2v-slice-") as folder:
        path = Path(folder) / "clips.slice.parquet"
        state.current_slice(filters).save(path)
        return path.read_bytes()


def ids_csv(filters: Filters) -> str:
    """Return ids, parts and keys as CSV with a head."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["clip_id", "part", "clip_key"])
    writer.writerows((row["clip_id"], row["part"], row["clip_key"]) for row in _keys(filters))
    return text.getvalue()


def ids_text(filters: Filters) -> str:
    """Return keys with their parts, one a line, as `OpenS2V.get` takes them."""
    return "".join(f"{row['part']}/{row['clip_key']}\n" for row in _keys(filters))


def _keys(filters: Filters) -> list[dict[str, object]]:
    if (number := answers.count(filters)) > MAX_EXPORTED:
        raise QueryError(
            f"expected at most {MAX_EXPORTED:,} clips to export as text, got {number:,}; save the slice instead"
        )
    return state.current_slice(filters).to_arrow(["clip_id", "part", "clip_key"]).to_pylist()
