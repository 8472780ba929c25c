"""A catalog of a few thousand clips with row groups as small as its rows are few, so that it has as many as a large one."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from hub.releases import make_catalog, write_many_clips
from opens2v_data.catalog import manifest as manifests
from opens2v_data.catalog.manifest import Manifest, digest_of
from opens2v_data.catalog.schemas import TABLES
from opens2v_data.catalog.writer import TableWriter

if TYPE_CHECKING:
    from pathlib import Path

CLIPS_PER_PART = 1600
NUM_CLIPS = 2 * CLIPS_PER_PART
GROUP_ROWS = 32
"""Of clips: 100 row groups. The others keep the proportions they have at full size."""


def make_many_groups(folder: Path) -> Path:
    """Return the folder of a catalog with 100 row groups of clips; `tech` grows with the clip within each part."""
    release = write_many_clips(folder / "release", clips_per_part=CLIPS_PER_PART)
    return regroup(make_catalog(release, folder / "large-groups"), folder / "catalog", group_rows=GROUP_ROWS)


def regroup(root: Path, target: Path, *, group_rows: int) -> Path:
    """Copy a catalog with row groups of `group_rows` clips, and of other tables' rows in proportion."""
    made = manifests.load(root)
    shutil.copytree(root, target, ignore=shutil.ignore_patterns("*.parquet", "manifest.json"))
    tables = {}
    for name, file in made.tables.items():
        schema = TABLES[name]
        rows = max(8, schema.row_group_rows * group_rows // TABLES["clips"].row_group_rows)
        with TableWriter(dataclasses.replace(schema, row_group_rows=rows), target) as writer:
            writer.write(pq.read_table(root / file.path))
        assert writer.file is not None
        tables[name] = writer.file
    manifests.save(
        Manifest(
            schema_version=made.schema_version,
            digest=digest_of(tables, made.files),
            source=made.source,
            tables=tables,
            files=made.files,
            report=made.report,
        ),
        target,
    )
    return target
