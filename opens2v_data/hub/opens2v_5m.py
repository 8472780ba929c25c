"""The builder behind `load_dataset("opens2v-5m")`. `datasets` names it after this module and patches `open` and paths in here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any, cast

import datasets
import pyarrow as pa

from opens2v_data.archive.addresses import SCHEME, HubAddress
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.schemas import SCHEMA_VERSION
from opens2v_data.errors import CatalogNotFoundError
from opens2v_data.hub.features import row_features
from opens2v_data.hub.opened import open_cached
from opens2v_data.media import Media
from opens2v_data.query import CONFIGS, Config
from opens2v_data.rows import check_columns, iter_rows

SHARD_ROWS = 16_384
"""At most so many ids per shard: a row group of clips. What a resumed stream makes again before it goes on."""

MIN_SHARDS = 32
"""Small catalogs are cut finer, so that loader workers and ranks all have some."""

DESCRIPTION = """\
OpenS2V-5M: clips with captions, subjects (class, box, scores, mask as COCO run lengths) and views, from the catalog at {root}.

`video` is stored as an opens2v:// address without bytes. Where torchcodec can be imported, a row gives it as a VideoDecoder.
Elsewhere, or with decode=False, get frames with opens2v_loaders.read_frames, and the mp4's bytes with
opens2v_data.open({root!r}).read_bytes(VideoRef.from_address(row["video_path"])).
"""

_ROWS: dict[Config, str] = {
    "regular": "a row per clip",
    "nexus-cross": "a row per cross-video pair, with both clips",
    "nexus-gpt": "a row per clip with GPT-Image-1 views",
}


@dataclass
class Opens2vConfig(datasets.BuilderConfig):
    """What to load.

    `datasets` sets what the caller gives on a copy of one of the builder's configs, past any check on creation: so values
    are checked where they are used, first by `create_config_id`.

    Attributes:
        where: a SQL condition over the config's columns; None: all rows.
        columns: top-level columns to give, in this order; None: all.
        decode: False gives videos and images as stored, `{"bytes": None, "path": …}`, and does not import torchcodec.
    """

    where: str | None = None
    columns: list[str] | None = None
    decode: bool = True

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: datasets.Features | None = None) -> str:
        """Return what rows are kept under: the caller's arguments, and what of them can be decoded on this machine."""
        if self.where is not None and not isinstance(self.where, str):
            raise TypeError(f"where must be a SQL condition as text, got {self.where!r}")
        return super().create_config_id({**config_kwargs, "decode": repr(self.row_features)}, custom_features)

    @property
    def rows(self) -> Config:
        """What a row is: the config's name."""
        return cast("Config", self.name)

    @property
    def chosen_columns(self) -> list[str]:
        """The columns to give."""
        return check_columns(self.rows, self.columns)

    @property
    def row_features(self) -> datasets.Features:
        """The features of a row."""
        return row_features(self.rows, self.chosen_columns, decode=self.decode)


class Opens2v(datasets.ArrowBasedBuilder):
    """Rows of a catalog, in id order, in one split, cut into shards of id ranges.

    Args:
        data_dir: the catalog, a folder or an address (`hf://datasets/OWNER/NAME[@REVISION]`); by default the one found by
            `opens2v_data.catalog.lookup`. A branch on the Hub is taken at its commit of now, in worker processes too.
        revision: commit of the release, digest of the catalog, or its commit on the Hub (or the start of one of these), that the
            catalog must have.

    Raises:
        CatalogError: there is no such catalog.
        QueryError: the condition or a column is not one that the config can answer.
    """

    BUILDER_CONFIG_CLASS = Opens2vConfig
    BUILDER_CONFIGS = [  # noqa: RUF012 - as the base class has it
        Opens2vConfig(name=name, version=datasets.Version(f"{SCHEMA_VERSION}.0.0"), description=_ROWS[name])
        for name in CONFIGS
    ]
    DEFAULT_CONFIG_NAME = CONFIGS[0]
    config: Opens2vConfig

    def __init__(
        self, *, data_dir: str | None = None, revision: str | None = None, hash: str | None = None, **options: Any
    ) -> None:
        catalog = Catalog.open(data_dir)
        if revision is not None:
            _check_revision(catalog, str(revision))
        # `datasets` keeps rows by config and this hash; they hold addresses below the catalog and paths below the release.
        parts = (hash, catalog.digest, catalog.uri, Media(catalog).release_uri)
        key = hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()
        given = {name: value for name, value in options.items() if value is not None}
        try:
            super().__init__(data_dir=catalog.uri, hash=key, **given)
        except OSError as error:
            error.add_note("`datasets` keeps rows and locks there; set HF_HOME to a folder that may be written")
            raise

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=DESCRIPTION.format(root=self.config.data_dir),
            features=self.config.row_features,
            homepage="https://huggingface.co/datasets/BestWishYsh/OpenS2V-5M",
            license="cc-by-4.0",
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        config, opened = self.config, open_cached(str(self.config.data_dir))
        num_rows = opened.catalog.num_rows("pairs" if config.rows == "nexus-cross" else "clips")
        shard_rows = min(SHARD_ROWS, max(1, ceil(num_rows / MIN_SHARDS)))
        # No shard at all is one empty shard to `datasets`: a condition that nothing meets gives an empty split.
        shards = opened.query.shards(config.rows, config.where, rows=shard_rows)
        return [datasets.SplitGenerator(name="train", gen_kwargs={"shards": shards})]

    def _generate_tables(  # pyright: ignore[reportIncompatibleMethodOverride] - the base class takes anything
        self, shards: list[tuple[int, int]]
    ) -> Iterator[tuple[Any, pa.Table]]:
        config, opened = self.config, open_cached(str(self.config.data_dir))
        for shard_idx, (lo, hi) in enumerate(shards):
            tables = iter_rows(
                opened.query, opened.media, config.rows, config.where, columns=config.chosen_columns, lo=lo, hi=hi
            )
            for batch_idx, table in enumerate(tables):
                yield (shard_idx, batch_idx), table

    def _as_dataset(self, split: Any = datasets.Split.TRAIN, in_memory: bool = False) -> datasets.Dataset:
        if self.info.splits is None or self.info.splits["train"].num_examples:
            return super()._as_dataset(split, in_memory)
        # `datasets` writes a split without rows, but refuses to read it.
        columns: dict[str, list[Any]] = {name: [] for name in self.config.chosen_columns}
        return datasets.Dataset.from_dict(columns, self.info.features, self.info, datasets.Split.TRAIN)


def _check_revision(catalog: Catalog, revision: str) -> None:
    made_from = catalog.manifest.source.revision
    commit = HubAddress.parse(catalog.uri).revision if catalog.uri.startswith(SCHEME) else None
    if not any(known.startswith(revision) for known in (made_from, catalog.digest, commit) if known and revision):
        source = "a folder, without a revision" if made_from is None else f"revision {made_from}"
        raise CatalogNotFoundError(
            f"expected a catalog of revision {revision!r}, found at {catalog.uri} the one made from {source}, with digest "
            f"{catalog.digest}; leave revision out, give the start of one of these, or name another catalog with data_dir=…"
        )
