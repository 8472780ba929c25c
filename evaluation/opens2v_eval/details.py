"""What a metric found in each frame, one JSON object a line: `details/<metric>.jsonl`, and one file more for each shard.

A run appends, so of a key the youngest line counts (`outcome.at`, seconds since 1970; without it the last); a line that a killed
run left unfinished is passed over. Lines of a failed video have `outcome.status` "failed" and no details.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from opens2v_data.errors import ScoresError
from opens2v_eval.scales import MetricName

FOLDER = "details"


def detail_files(folder: Path, metric: MetricName) -> tuple[Path, ...]:
    """Return a metric's files of details: that of a whole run first, then those of shards by name."""
    shard = re.compile(rf"{metric}\.(\d+)-of-(\d+)\.jsonl")
    place = folder / FOLDER
    names = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
    found = [name for name in names if name == f"{metric}.jsonl"] + [name for name in names if shard.fullmatch(name)]
    return tuple(place / name for name in found)


def read_detail(folder: str | Path, metric: MetricName) -> dict[str, dict[str, Any]]:
    """Return what a metric found, by key; empty where there are no files of it.

    Raises:
        ScoresError: a line other than the last is no JSON object with a key.
    """
    found: dict[str, dict[str, Any] | None] = {}
    ages: dict[str, float] = {}
    for path in detail_files(Path(folder), metric):
        for entry in _lines(path):
            key, outcome = entry["key"], entry.get("outcome")
            status, at = (outcome.get("status"), outcome.get("at")) if isinstance(outcome, dict) else (None, None)
            age = float(at) if isinstance(at, int | float) else 0.0
            if age >= ages.get(key, 0.0):
                ages[key] = age
                found[key] = entry if status in (None, "done") else None
    return {key: entry for key, entry in found.items() if entry is not None}


def write_detail(folder: str | Path, metric: MetricName, details: Iterable[Mapping[str, Any]]) -> Path:
    """Write a metric's details anew, as a whole run's; return the file.

    Raises:
        ValueError: an entry has no key, or a number that JSON does not have.
    """
    lines: list[str] = []
    for entry in details:
        if not isinstance(entry.get("key"), str):
            raise ValueError(f"expected a text as key of each entry, got {entry.get('key')!r}")
        lines.append(json.dumps(dict(entry), ensure_ascii=False, allow_nan=False) + "\n")
    path = Path(folder) / FOLDER / f"{metric}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, "".join(lines))
    return path


def replace_text(path: Path, text: str) -> None:
    """Write a file under another name, and put it in place when it is whole."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8", newline="")
    partial.replace(path)


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    data = path.read_bytes()
    offset = 0
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        where = f"{path}, line {number} (byte {offset})"
        offset += len(line)
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as cause:
            if not line.endswith(b"\n"):
                return  # a run was killed while it wrote this; it does that video again
            raise ScoresError(
                f"{where}: expected a JSON object, found what cannot be parsed: {cause}; remove it"
            ) from cause
        if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
            raise ScoresError(f"{where}: expected a JSON object with a text as key; remove the line")
        yield entry
