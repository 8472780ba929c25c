"""A slice: clips by question, lazy and immutable, each step giving another slice.

    cat = opens2v_data.open("./opens2v-5m")
    s = cat.where("aesthetic > ?", 5.5).has_subject("woman", gme=">0.3").sort("-aesthetic").limit(5000)
    s.count(), s.facets("part"), s.hist("aesthetic"), s.page(n=50), s.to_arrow(), s.locate(), s.save("women.slice.parquet")

Steps apply in order: a condition after `limit` or `sample` asks the clips that were left. Values are bound, names are
checked, and nothing is read before an answer is asked for. `sql()` shows the statement; `sql_where()` is the condition, for
whoever takes a text.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from opens2v_data.errors import QueryError
from opens2v_data.query import answers, tallies
from opens2v_data.query.bound import Bound, all_of, any_of, bind, identifier, not_
from opens2v_data.query.conditions import Config, Query
from opens2v_data.query.locating import locate
from opens2v_data.query.maskfacts import measure_masks
from opens2v_data.query.narrowing import (
    NEAR_DUPLICATE_SIMILARITY,
    Mode,
    SubjectQuestion,
    in_split,
    near_duplicates,
    of_ids,
    with_faults,
)
from opens2v_data.query.spec import Sample, Sort, Spec

if TYPE_CHECKING:
    import os

    import numpy as np
    import pyarrow as pa

    from opens2v_data.query.answers import Page
    from opens2v_data.query.saved import SavedSlice
    from opens2v_data.query.tallies import Facet, Histogram, Tally

MAX_SHOWN = 500
"""Characters of a condition in a slice's repr."""


class Slice:
    """Clips of a catalog. Immutable; made by `OpenS2V.where` and its like, or from another slice.

    Attributes:
        query: of the catalog.
        spec: which clips.
        opened: what it was made from, which reads rows and bytes; None where only tables are asked.
    """

    def __init__(self, query: Query, spec: Spec | None = None, *, opened: Any = None) -> None:
        self.query = query
        self.spec = spec or Spec()
        self.opened = opened

    def __repr__(self) -> str:
        try:
            text = " ".join(self.sql_where().split())
        except QueryError:
            text = "ids of more clips than can be shown"
        return f"Slice({text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + '…'!r})"

    # -- steps: which clips

    def where(self, condition: str, *values: Any) -> Self:
        """Keep the clips that meet a condition.

        Args:
            condition: SQL over the columns of clips, with `?` for values.
            values: bound to the marks, in order.

        Raises:
            QueryError: it is not one condition.
            ValueError, TypeError: marks and values do not match.
        """
        return self._also(bind(condition, values, names=self._names))

    def has_subject(
        self,
        name: str,
        *,
        gme: str | float | None = None,
        aes: str | float | None = None,
        area: str | float | None = None,
        count: str | float | None = None,
    ) -> Self:
        """Keep the clips with a subject of that class; see `narrowing.SubjectQuestion` for the numbers (`gme=">0.3"`).

        Raises:
            ValueError: a number that is no comparison.
        """
        return self._also(SubjectQuestion(name=name, gme=gme, aes=aes, area=area, count=count).condition())

    def lacks_subject(
        self,
        name: str,
        *,
        gme: str | float | None = None,
        aes: str | float | None = None,
        area: str | float | None = None,
        count: str | float | None = None,
    ) -> Self:
        """Keep the clips that `has_subject` would leave out: no such subject, or another number of them."""
        return self._also(not_(SubjectQuestion(name=name, gme=gme, aes=aes, area=area, count=count).condition()))

    def search(self, text: str) -> Self:
        """Keep the clips whose caption meets a text query: words, `"a phrase"`, AND, OR, NOT.

        With the index of `opens2v search-index` some milliseconds; without it every caption is read (5 s at 5 M clips).

        Raises:
            QueryError: no query; the message shows the place.
        """
        from opens2v_data.search import CaptionSearch, scan_condition

        if (index := CaptionSearch.find(self.query.catalog)) is not None:
            return self.with_ids(index.ids(text))
        sql, values = scan_condition(text)
        return self._also(Bound(sql=sql, values=tuple(values)))

    def with_ids(self, clip_ids: Sequence[int] | np.ndarray | pa.Array) -> Self:
        """Keep the clips of some ids; ids of no clip are passed over.

        Raises:
            TypeError: they are no integers.
        """
        return self._also(of_ids(clip_ids))

    def near_duplicates(self, mode: Mode = "drop", *, similarity: float = NEAR_DUPLICATE_SIMILARITY) -> Self:
        """Keep one of clips that show the same thing, or only those there is more than one of.

        Two clips are near duplicates where a cross-video pair of theirs has at least that image similarity: one of their
        subjects looks the same. Other clips are never compared.

        Args:
            mode: "drop" leaves out a clip where an earlier one of the slice is its near duplicate; "only" keeps all that have
                one in the slice.
            similarity: cosine, see `narrowing.NEAR_DUPLICATE_SIMILARITY`.

        Raises:
            ValueError: another mode, or a similarity outside [-1, 1].
        """
        return self._also(near_duplicates(self.spec.ids(), mode, similarity=similarity))

    def faults(self, name: str, mode: Mode = "drop") -> Self:
        """Leave out the clips that a quality view names, or keep only these.

        Args:
            name: near_copies, empty_masks, alike_pairs, …: the views of `sql/quality`, each of which says what it finds.
            mode: "drop" or "only".

        Raises:
            QueryError: no such view; the message has the names.
            ValueError: another mode.
        """
        return self._also(with_faults(name, mode))

    def split(
        self, name: str, fractions: Mapping[str, float] | None = None, *, seed: int = 0, by: str = "cluster"
    ) -> Self:
        """Keep one of several splits that share no clip, the same on every machine and for every other condition.

        Args:
            name: which.
            fractions: of all, by name, in order; they add up to 1 at most. By default train 0.9 and val 0.1.
            seed: another one splits differently.
            by: "cluster" keeps clips of one source video together, so that cross-video partners never stand in two splits;
                "clip" does not.

        Raises:
            ValueError: no such split, or fractions that are none.
        """
        return self._also(in_split(name, fractions, seed=seed, by=by))

    def __and__(self, other: Slice) -> Slice:
        """Return the clips of both."""
        return self._also(self._other(other))

    def __or__(self, other: Slice) -> Slice:
        """Return the clips of either, in this one's order."""
        union = any_of([self.spec.membership(), self._other(other)])
        return self._with(replace(self.spec, conditions=(union,), sample=None, limit=None))

    def __sub__(self, other: Slice) -> Slice:
        """Return the clips that are not in the other."""
        return self._also(not_(self._other(other)))

    def __invert__(self) -> Slice:
        """Return all other clips of the catalog."""
        return self._with(Spec(conditions=(not_(self.spec.membership()),)))

    # -- steps: order and number

    def sort(self, *columns: str) -> Self:
        """Sort by columns, `-` before a name for descending; null comes last. Another `sort` replaces this one.

        Raises:
            QueryError: no such column.
        """
        order = []
        for column in columns:
            if not isinstance(column, str):
                raise TypeError(f"expected columns by name, got {column!r}")
            name = column.removeprefix("-")
            identifier(name, self._names)
            order.append(Sort(column=name, is_descending=column.startswith("-")))
        spec = self.spec if not self.spec.is_cut else self.spec.also(Bound(sql="true"))
        return self._with(replace(spec, order=tuple(order)))

    def limit(self, num_clips: int) -> Self:
        """Keep the first so many in order.

        Raises:
            TypeError: no integer.
            ValueError: below 0.
        """
        num_clips = operator.index(num_clips)
        if num_clips < 0:
            raise ValueError(f"limit must be 0 or more, got {num_clips}")
        known = self.spec.limit
        return self._with(replace(self.spec, limit=num_clips if known is None else min(known, num_clips)))

    def sample(self, num_clips: int, *, by: str | None = None, seed: int = 0) -> Self:
        """Keep so many by chance, the same for a seed on every machine; see `spec.Sample`.

        Raises:
            TypeError: a number or seed that is no integer.
            ValueError: below 0.
            QueryError: no such column.
        """
        num_clips = operator.index(num_clips)
        if num_clips < 0:
            raise ValueError(f"expected a number of clips of 0 or more, got {num_clips}")
        if by is not None:
            identifier(by, self._names)
        spec = self.spec.also(Bound(sql="true")) if self.spec.is_cut else self.spec
        return self._with(replace(spec, sample=Sample(num_clips=num_clips, by=by, seed=operator.index(seed))))

    def subjects(self, condition: str, *values: Any) -> Self:
        """Show only the subjects that meet a condition over the columns of subjects; the clips stay.

        Raises:
            QueryError: it is not one condition.
        """
        return self._with(replace(self.spec, trims=(*self.spec.trims, bind(condition, values))))

    # -- answers

    def count(self) -> int:
        """Return how many clips."""
        return answers.count(self)

    __len__ = count

    def ids(self) -> np.ndarray:
        """Return the clips' ids in order, `(N,) int32`."""
        return answers.ids(self)

    def page(self, *, after: str | None = None, n: int = 50, columns: Sequence[str] | None = None) -> Page:
        """Return the next clips in order, by what the last page ended with and not by a count, so that every page costs alike.

        Args:
            after: `Page.after` of the page before; None: the first page.
            n: clips at most.
            columns: of clips; by default `answers.PAGE_COLUMNS`. Texts and lists cost a row group each (25 ms for 50 keys at 5 M
                clips, 0.3 s for all columns).

        Raises:
            QueryError: no such column, or `after` is of another order.
        """
        return answers.page(self, after=after, n=n, columns=columns)

    def facets(self, column: str, *, limit: int = 50) -> pa.Table:
        """Return the values of a column by how many clips have them: `value`, `num_clips`, the most frequent first.

        Of a list column, such as `subject_tags`, each entry counts. Null is a value.
        """
        return tallies.count_values(self, column, limit=limit)

    def groups(self, columns: Sequence[str], *, limit: int = 50) -> pa.Table:
        """Return the values that columns have together, by how many clips have them: the columns and `num_clips`.

        Raises:
            QueryError: no such column.
        """
        return tallies.count_groups(self, columns, limit=limit)

    def hist(self, column: str, *, bins: int = 30, lo: float | None = None, hi: float | None = None) -> Histogram:
        """Return how a column's numbers lie, see `tallies.Histogram`."""
        return self.hists([column], bins=bins, lo=lo, hi=hi)[column]

    def hists(
        self,
        columns: Sequence[str],
        *,
        bins: int = 30,
        lo: float | None = None,
        hi: float | None = None,
        ends: Mapping[str, tuple[float, float]] | None = None,
    ) -> dict[str, Histogram]:
        """Return how the numbers of several columns lie, in one reading of them.

        Args:
            columns: their names.
            bins: of each.
            lo, hi: ends of all of them; None: the whole catalog's.
            ends: (lo, hi) of some, by name, in place of these.
        """
        return tallies.histograms(self, columns, bins=bins, lo=lo, hi=hi, ends=ends)

    def tally(
        self,
        facets: Sequence[Facet] = (),
        hists: Sequence[str] = (),
        *,
        bins: int = 30,
        ends: Mapping[str, tuple[float, float]] | None = None,
        limit: int = 50,
    ) -> Tally:
        """Return how many clips, and how many have what, all in one reading.

        Six histograms and six facets of a filter take 0.26 s of CPU in memory at 5 M clips, asked one by one 0.4 s.

        Args:
            facets: columns, each as `facets` counts it; a tuple of columns, as `groups` does.
            hists: columns of numbers, as `hists` counts them.
            bins, ends: of these; ends are the whole catalog's where not given.
            limit: values of each facet.

        Raises:
            QueryError: no such column, or one of `hists` has no numbers.
        """
        return tallies.tally(self, facets, hists, bins=bins, ends=ends, limit=limit)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return columns of the clips, in order; by default all of the table clips.

        Raises:
            QueryError: no such column.
        """
        return answers.to_arrow(self, columns)

    def to_polars(self, columns: Sequence[str] | None = None) -> Any:
        """Return the same as a polars DataFrame that shares Arrow's memory."""
        return answers.polars().from_arrow(self.to_arrow(columns))

    def subject_table(self) -> pa.Table:
        """Return the clips' subjects, those that `subjects` leaves, by clip and object id: the columns of view subjects."""
        return answers.subject_table(self)

    def measure_masks(self) -> pa.Table:
        """Return area, box and faults of the masks of its clips, see `maskfacts.measure_masks`; some 2 ms a clip."""
        return measure_masks(self.query, self.ids())

    def locate(self, *, names: bool = False) -> pa.Table:
        """Return where the clips' bytes lie, see `locating.locate`; clips without bytes are absent."""
        return locate(self.query, self.ids(), names=names)

    def save(self, path: str | os.PathLike[str]) -> SavedSlice:
        """Write the ids in order, with catalog and SQL, to a file that `OpenS2V.slice` opens; see `saved`."""
        from opens2v_data.query.saved import save

        return save(self, path)

    def sql(self) -> str:
        """Return the statement that gives its clips in order, values written out."""
        return f"SELECT clip_id FROM clips WHERE {self.sql_where()} ORDER BY {self.spec.order_by}"

    def sql_where(self) -> str:
        """Return the condition that its clips alone meet, values written out: for `load_dataset(where=…)`."""
        return self.spec.membership().literal()

    # -- as a source of rows, for loaders

    @property
    def fingerprint(self) -> str:
        """Of the catalog; which rows are taken is known from their ids."""
        return self.query.catalog.digest

    def row_sizes(self, where: str | None = None, *, config: Config = "regular") -> dict[str, np.ndarray]:
        """Return ids and sizes of the slice's rows, see `Query.sizes`; of pairs, those with both clips in the slice."""
        mine = self.spec.membership()
        conditions = [mine]
        if config == "nexus-cross":
            ids = self.spec.ids()
            conditions = [
                Bound(sql=f"{side} IN ({ids.sql})", values=ids.values, tables=ids.tables)
                for side in ("clip_id", "partner_clip_id")
            ]
        if where is not None and where.strip():
            conditions.append(bind(where, ()))
        whole = all_of(conditions)
        return self.query.sizes(config, whole.sql, values=whole.values, tables=whole.tables)

    def triples(self, *, limit: int | None = None) -> Iterator[Any]:
        """Give its triples in order, with the subjects that `subjects` leaves.

        Raises:
            ValueError: the slice was made without an opened catalog.
        """
        chosen = self if limit is None else self.limit(limit)
        return answers.triples(chosen, self._reader())

    def __getattr__(self, name: str) -> Any:
        # What a loader asks of an opened catalog besides: bytes and rows by id, which are the same for every slice.
        if name in ("rows_of", "read_bytes", "read_videos", "read_file"):
            return getattr(self._reader(), name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _reader(self) -> Any:
        opened = self.__dict__.get("opened")
        if opened is None:
            raise ValueError("expected a slice of an opened catalog: make it with opens2v_data.open(root).where(…)")
        return opened

    # -- inside

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.query.columns("regular"))

    def _other(self, other: Slice) -> Bound:
        if not isinstance(other, Slice):
            raise TypeError(f"expected a slice, got {type(other).__name__}")
        if other.query.catalog.digest != self.query.catalog.digest:
            raise ValueError(
                f"the slices are of two catalogs, with digests {self.query.catalog.digest[:12]} and "
                f"{other.query.catalog.digest[:12]}: save one and open it with the other's catalog, `slice(path, remap=True)`"
            )
        return other.spec.membership()

    def _also(self, condition: Bound) -> Self:
        return self._with(self.spec.also(condition))

    def _with(self, spec: Spec) -> Self:
        return type(self)(self.query, spec, opened=self.opened)
