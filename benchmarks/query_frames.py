"""The operations of `query.py`, asked of polars and of pyarrow by hand; see `query_systems.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from query_asked import (
    AESTHETIC,
    BINS,
    GME,
    HIST_COLUMNS,
    MOTION,
    NUM_TOP,
    PAGE_COLUMNS,
    PAGE_ROWS,
    SUBJECT,
    WORD,
    Questions,
    pieces,
    read_blobs,
)


class Polars:
    """`scan_parquet` and lazy expressions."""

    def __init__(self, root: Path, asked: Questions) -> None:
        import polars as pl

        self._pl, self._root, self._asked = pl, root, asked
        self._t = {path.stem: pl.scan_parquet(path) for path in root.glob("*.parquet")}
        self._pieces = pl.from_arrow(pieces(root)).lazy().sort("piece_start")  # pyright: ignore[reportAttributeAccessIssue]
        col = pl.col
        self._filtered = self._t["clips"].filter((col("aesthetic") > AESTHETIC) & (col("motion") > MOTION))

    def _women(self) -> Any:
        col = self._pl.col
        class_id = self._t["classes"].filter(col("name") == SUBJECT).select("class_id").collect().item()
        hits = self._t["class_index"].filter((col("class_id") == class_id) & (col("gme_score") > GME)).select("clip_id")
        good = self._t["clips"].filter(col("aesthetic") > AESTHETIC).select("clip_id")
        return good.join(hits, on="clip_id", how="semi")

    def top_classes(self) -> Any:
        return self._t["classes"].select("name", "num_clips").head(NUM_TOP).collect()

    def filtered_count(self) -> Any:
        return self._filtered.select(self._pl.len()).collect().item()

    def subject_ids(self) -> Any:
        return np.sort(self._women().collect()["clip_id"].to_numpy())

    def byte_ranges(self) -> Any:
        col = self._pl.col
        found = self._t["locations"].join(self._women(), on="clip_id", how="semi").sort("offset")
        found = found.join_asof(
            self._pieces, left_on="offset", right_on="piece_start", by="part", check_sortedness=False
        )
        start = (col("offset") - col("piece_start")).alias("start")
        return found.select("clip_id", "piece", start, "size_bytes").sort("clip_id").collect()

    def page(self) -> Any:
        col, (aesthetic, clip_id) = self._pl.col, self._asked.page_after
        mark = self._pl.lit(aesthetic, self._pl.Float32)
        behind = (col("aesthetic") < mark) | ((col("aesthetic") == mark) & (col("clip_id") > clip_id))
        found = self._filtered.filter(behind).select("aesthetic", "clip_id")
        ids = found.sort("aesthetic", "clip_id", descending=[True, False]).head(PAGE_ROWS).collect()["clip_id"]
        rows = self._t["clips"].filter(col("clip_id").is_in(ids.implode()))
        return rows.select(PAGE_COLUMNS).sort("aesthetic", "clip_id", descending=[True, False]).collect()

    def histograms(self) -> Any:
        pl = self._pl
        bins = [
            ((pl.col(name).cast(pl.Float64) - low) * BINS / (high - low)).floor().clip(0, BINS - 1).cast(pl.Int8)
            for name, (low, high) in self._asked.ranges.items()
        ]
        found = self._filtered.select(bins).collect()
        return {name: np.bincount(found[name].drop_nulls().to_numpy(), minlength=BINS) for name in self._asked.ranges}

    def masks(self) -> Any:
        found = self._t["masks"].filter(self._pl.col("clip_id").is_in(self._asked.ids)).collect()
        return read_blobs(self._root, found.to_arrow())

    def clips(self) -> Any:
        col, ids = self._pl.col, self._asked.ids
        subjects = self._t["subjects"].filter(col("clip_id").is_in(ids))
        named = subjects.join(self._t["classes"].select("class_id", class_name="name"), on="class_id", how="left")
        return (
            self._t["clips"].filter(col("clip_id").is_in(ids)).sort("clip_id").collect(),
            named.sort("clip_id", "object_id").collect(),
        )

    def text(self) -> Any:
        text = self._pl.col("caption").str.to_lowercase().str.contains(WORD, literal=True)
        return np.sort(self._t["captions"].filter(text).select("clip_id").collect()["clip_id"].to_numpy())

    def key(self) -> Any:
        col = self._pl.col
        ids = self._t["keys"].filter(col("key_hash") == self._asked.key_hash).collect()["clip_id"]
        rows = self._t["clips"].filter(col("clip_id").is_in(ids.implode())).select("clip_id", "clip_key").collect()
        return rows.row(by_predicate=col("clip_key") == self._asked.key)[0]

    def facet(self) -> Any:
        categories = self._pl.scan_parquet(self._asked.categories).select("clip_id", "category")
        joined = self._filtered.select("clip_id").join(categories, on="clip_id")
        found = joined.group_by(value="category").agg(num_clips=self._pl.len())
        return found.sort("num_clips", "value", descending=[True, False]).collect()


class Arrow:
    """`pyarrow.dataset`, with NumPy where it has nothing of its own."""

    def __init__(self, root: Path, asked: Questions) -> None:
        import pyarrow.dataset as ds

        self._root, self._asked = root, asked
        self._t = {path.stem: ds.dataset(path) for path in root.glob("*.parquet")}
        self._categories = ds.dataset(asked.categories)
        self._pieces = pieces(root)
        field = ds.field
        self._field = field
        self._good = field("aesthetic") > AESTHETIC
        self._filter = self._good & (field("motion") > MOTION)

    def top_classes(self) -> Any:
        return self._t["classes"].head(NUM_TOP, columns=["name", "num_clips"])

    def filtered_count(self) -> Any:
        return self._t["clips"].scanner(columns=[], filter=self._filter).count_rows()

    def subject_ids(self) -> Any:
        field = self._field
        classes = self._t["classes"].to_table(columns=["class_id"], filter=field("name") == SUBJECT)
        wanted = (field("class_id") == classes.column("class_id")[0]) & (field("gme_score") > GME)
        hits = self._t["class_index"].to_table(columns=["clip_id"], filter=wanted).column("clip_id").to_numpy()
        good = self._t["clips"].to_table(columns=["clip_id"], filter=self._good).column("clip_id").to_numpy()
        return np.intersect1d(good, hits)

    def byte_ranges(self) -> Any:
        ids = self.subject_ids()
        columns = ["clip_id", "part", "offset", "size_bytes"]
        # An `isin` of 250,000 values takes longer than reading all rows and looking them up.
        found = self._t["locations"].to_table(columns=columns)
        found = found.filter(pa.array(np.isin(found.column("clip_id").to_numpy(), ids, kind="table")))
        parts = found.column("part").combine_chunks().dictionary_encode()
        codes, offsets = parts.indices.to_numpy(), found.column("offset").to_numpy()
        of_part = self._pieces.column("part").to_numpy(zero_copy_only=False)
        edges, first = self._pieces.column("piece_start").to_numpy(), np.zeros(len(codes), np.int64)
        for code, name in enumerate(parts.dictionary.to_pylist()):
            mine = np.flatnonzero(of_part == name)
            rows = codes == code
            first[rows] = mine[0] + np.searchsorted(edges[mine], offsets[rows], side="right") - 1
        made = {
            "clip_id": found.column("clip_id"),
            "piece": self._pieces.column("piece").take(pa.array(first)),
            "start": pa.array(offsets - edges[first]),
            "size_bytes": found.column("size_bytes"),
        }
        return pa.table(made)

    def page(self) -> Any:
        field, (aesthetic, clip_id) = self._field, self._asked.page_after
        mark = pa.scalar(aesthetic, pa.float32())
        behind = (field("aesthetic") < mark) | ((field("aesthetic") == mark) & (field("clip_id") > clip_id))
        found = self._t["clips"].to_table(columns=["aesthetic", "clip_id"], filter=self._filter & behind)
        order = [("aesthetic", "descending"), ("clip_id", "ascending")]
        ids = found.sort_by(order).slice(0, PAGE_ROWS).column("clip_id")
        return self._t["clips"].to_table(columns=list(PAGE_COLUMNS), filter=field("clip_id").isin(ids)).sort_by(order)

    def histograms(self) -> Any:
        found = self._t["clips"].to_table(columns=list(HIST_COLUMNS), filter=self._filter)
        made = {}
        for name, (low, high) in self._asked.ranges.items():
            values = found.column(name).combine_chunks().drop_null().to_numpy().astype(np.float64)
            made[name] = np.histogram(values, BINS, (low, high))[0]
        return made

    def masks(self) -> Any:
        return read_blobs(self._root, self._t["masks"].to_table(filter=self._field("clip_id").isin(self._asked.ids)))

    def clips(self) -> Any:
        wanted = self._field("clip_id").isin(self._asked.ids)
        names = self._t["classes"].to_table(columns=["name"]).column("name")
        subjects = (
            self._t["subjects"].to_table(filter=wanted).sort_by([("clip_id", "ascending"), ("object_id", "ascending")])
        )
        named = subjects.append_column("class_name", names.take(subjects.column("class_id")))
        return self._t["clips"].to_table(filter=wanted).sort_by("clip_id"), named

    def text(self) -> Any:
        from pyarrow.compute import match_substring  # pyright: ignore[reportAttributeAccessIssue]

        wanted = match_substring(self._field("caption"), WORD, ignore_case=True)
        found = self._t["captions"].to_table(columns=["clip_id"], filter=wanted)
        return np.sort(found.column("clip_id").to_numpy())

    def key(self) -> Any:
        wanted = self._field("key_hash") == pa.scalar(self._asked.key_hash, pa.uint64())
        ids = self._t["keys"].to_table(filter=wanted).column("clip_id")
        chosen = self._field("clip_id").isin(ids)
        rows = self._t["clips"].to_table(columns=["clip_id", "clip_key"], filter=chosen).to_pylist()
        return next(row["clip_id"] for row in rows if row["clip_key"] == self._asked.key)

    def facet(self) -> Any:
        ids = self._t["clips"].to_table(columns=["clip_id"], filter=self._filter).column("clip_id").to_numpy()
        categories = self._categories.to_table(columns=["category"])
        # Clip ids are the row numbers of the categories.
        found = categories.column("category").take(pa.array(ids)).value_counts()
        made = pa.table({"value": found.field(0), "num_clips": found.field(1)})
        return made.sort_by([("num_clips", "descending"), ("value", "ascending")])
