"""The SQL texts of `sql/`: package data of an installed wheel, the checkout's folder otherwise."""

from __future__ import annotations

from functools import cache
from pathlib import Path


def sql_folder() -> Path:
    """Return the folder of the SQL texts."""
    packaged = Path(__file__).parent / "sql"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "sql"


@cache
def sql_text(name: str) -> str:
    """Return one text, for example `rows/clips`."""
    return (sql_folder() / f"{name}.sql").read_text(encoding="utf-8")


@cache
def sql_names(folder: str) -> tuple[str, ...]:
    """Return the texts of a folder in order of name, for example `questions/parts`."""
    return tuple(f"{folder}/{path.stem}" for path in sorted((sql_folder() / folder).glob("*.sql")))
