"""tantivy, which holds the index: the only module that touches it. Import it through `load_engine`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tantivy
from tantivy import Occur, Query

from opens2v_data.search.terms import AllOf, AnyOf, Phrase, Term, Without

CLIP_ID = "clip_id"
CAPTION = "caption"

_SPACED = "spaced"
"""Our name of the tokenizer that splits at spaces alone: what a word is, `opens2v_data.search.words` says."""


def write(folder: Path, documents: Iterable[tuple[list[int], list[str]]], *, heap_bytes: int, num_threads: int) -> int:
    """Write an index of clips and the words of their captions, parted by one space; return how many."""
    index = _with_tokenizer(tantivy.Index(_schema(), path=str(folder)))
    writer = index.writer(heap_size=heap_bytes, num_threads=num_threads)
    num_captions = 0
    for clip_ids, captions in documents:
        for clip_id, caption in zip(clip_ids, captions, strict=True):
            document = tantivy.Document()
            document.add_unsigned(CLIP_ID, clip_id)
            document.add_text(CAPTION, caption)
            writer.add_document(document)
        num_captions += len(clip_ids)
    writer.commit()
    writer.wait_merging_threads()
    return num_captions


class Opened:
    """An index that can be asked. Threads may share one."""

    def __init__(self, folder: Path) -> None:
        index = _with_tokenizer(tantivy.Index.open(str(folder)))
        self._schema = index.schema
        self._searcher = index.searcher()

    @property
    def num_captions(self) -> int:
        """How many captions it has."""
        return self._searcher.num_docs

    def ids(self, term: Term, *, limit: int | None) -> np.ndarray:
        """Return the clips that a query names, `(N,) int32`, ascending; at most `limit`, the first."""
        # Hits come only up to a number that is asked for, and counting them first costs as much as finding them.
        most = self._at_most(term) if limit is None else limit
        if not most:
            return np.empty(0, np.int32)
        found = self._searcher.search(
            self._query(term), limit=most, count=False, order_by_field=CLIP_ID, order=tantivy.Order.Asc
        ).hits
        return np.fromiter((clip_id for clip_id, _ in found), np.int32, len(found))

    def top(self, term: Term, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the clips of the highest BM25 scores, `(N,) int32`, and the scores, `(N,) float32`, highest first."""
        found = self._searcher.search(self._query(term), limit=n, count=False).hits
        ids = np.array(self._searcher.fast_field_values(CLIP_ID, [address for _, address in found]), np.int32)
        scores = np.array([score for score, _ in found], np.float32)
        order = np.lexsort((ids, -scores))
        return ids[order], scores[order]

    def _at_most(self, term: Term) -> int:
        """Return a number of clips that a query does not name more than."""
        if isinstance(term, Phrase):
            return min(self._searcher.doc_freq(CAPTION, word) for word in term.words)
        if isinstance(term, AllOf):
            return min(self._at_most(part) for part in term.parts)
        if isinstance(term, AnyOf):
            return min(self.num_captions, sum(self._at_most(part) for part in term.parts))
        return self.num_captions

    def _query(self, term: Term) -> Query:
        if isinstance(term, Phrase):
            if len(term.words) == 1:
                return Query.term_query(self._schema, CAPTION, term.words[0])
            return Query.phrase_query(self._schema, CAPTION, list(term.words))
        if isinstance(term, AnyOf):
            return Query.boolean_query([(Occur.Should, self._query(part)) for part in term.parts])
        parts = term.parts if isinstance(term, AllOf) else (term,)
        wanted = [(Occur.Must, self._query(part)) for part in parts if not isinstance(part, Without)]
        unwanted = [(Occur.MustNot, self._query(part.part)) for part in parts if isinstance(part, Without)]
        # What must not be there takes away from something: where nothing must be there, from all.
        return Query.boolean_query([*(wanted or [(Occur.Must, Query.all_query())]), *unwanted])


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field(CLIP_ID, fast=True)
    builder.add_text_field(CAPTION, tokenizer_name=_SPACED, index_option="position")
    return builder.build()


def _with_tokenizer(index: tantivy.Index) -> tantivy.Index:
    index.register_tokenizer(_SPACED, tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())
    return index
