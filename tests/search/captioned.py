"""Catalogs with captions of our choice, and what a caption query means, in plain Python: the second opinion."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from opens2v_data.catalog import manifest as manifests
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.manifest import CatalogFile, RowGroup, digest_of
from opens2v_data.catalog.schemas import CAPTIONS
from opens2v_data.search.terms import AllOf, AnyOf, Phrase, Term


def with_captions(base: Path, root: Path, captions: Sequence[str | None], *, group_rows: int = 4) -> Catalog:
    """Return the catalog of `base` with other captions, of clips 0, 1, …; only they can be asked."""
    root.mkdir(parents=True, exist_ok=True)
    manifest = manifests.load(base)
    for file in (*manifest.tables.values(), *manifest.files):
        (root / file.path).parent.mkdir(parents=True, exist_ok=True)
        if not (root / file.path).exists() and file.path != "captions.parquet":
            os.link(base / file.path, root / file.path)
    table = pa.table(
        {"clip_id": range(len(captions)), "caption": list(captions), "alternatives": [[]] * len(captions)},
        schema=CAPTIONS.arrow,
    )
    path = root / "captions.parquet"
    pq.write_table(table, path, row_group_size=group_rows)
    groups = tuple(
        RowGroup(
            rows=min(group_rows, len(captions) - at), ranges={"clip_id": (at, min(at + group_rows, len(captions)) - 1)}
        )
        for at in range(0, len(captions), group_rows)
    )
    file = CatalogFile(
        path=path.name,
        size_bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        rows=len(captions),
        row_groups=groups,
    )
    tables = {**manifest.tables, "captions": file}
    manifests.save(msgspec.structs.replace(manifest, tables=tables, digest=digest_of(tables, manifest.files)), root)
    return Catalog.open(root)


def words_in(text: str | None) -> list[str]:
    """Return a caption's words."""
    spaced = "".join(
        character.lower()[0] if unicodedata.category(character)[0] in "LNM" else " " for character in text or ""
    )
    return spaced.split()


def holds(term: Term, words: Sequence[str]) -> bool:
    """Say whether words are what a query asks for."""
    if isinstance(term, Phrase):
        length = len(term.words)
        return any(tuple(words[at : at + length]) == term.words for at in range(len(words) - length + 1))
    if isinstance(term, AllOf):
        return all(holds(part, words) for part in term.parts)
    if isinstance(term, AnyOf):
        return any(holds(part, words) for part in term.parts)
    return not holds(term.part, words)


def text_of(term: Term, *, spelled: int = 0) -> str:
    """Return a query that says a term, in one of several spellings."""
    if isinstance(term, Phrase):
        text = (" ", "-", ", ")[spelled % 3].join(term.words)
        text = text.upper() if spelled % 2 and text.upper() not in ("AND", "OR", "NOT") else text
        return f'"{text}"' if len(term.words) > 1 or spelled % 3 else f"+{text}" if spelled % 2 else text
    if isinstance(term, AllOf):
        return (
            "("
            + (" AND ", " ", "\n")[spelled % 3].join(text_of(part, spelled=spelled + 1) for part in term.parts)
            + ")"
        )
    if isinstance(term, AnyOf):
        return "( " + " OR ".join(text_of(part, spelled=spelled + 1) for part in term.parts) + ")"
    return ("NOT ", "-", "NOT\t")[spelled % 3] + text_of(term.part, spelled=spelled + 1)
