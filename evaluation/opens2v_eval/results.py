"""What was found of each video and metric, on disk: one line a video, only ever appended to.

    scores/details/aesthetics.jsonl             one process, or shard 0 of 1
    scores/details/aesthetics.1-of-4.jsonl      shard 1 of 4
    {"key": "singleface_3", "outcome": {"status": "done", "values": {"aes_score": 5.19}, …}, "frame_indices": […], …}

Beside `key` and `outcome` stand the metric's details, which `details.read_detail` reads. A process that is killed leaves at
most half a line, which counts as nothing and is cut off by the next that writes. Of several lines of a key the youngest counts.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from opens2v_data.errors import ScoresError
from opens2v_eval.details import FOLDER, detail_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from opens2v_eval.scales import MetricName

_OWN_FIELDS = frozenset({"key", "outcome"})


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a metric found of a video.

    Attributes:
        key: of the prompt.
        status: `failed` where the metric gave no answer; `error` then says why.
        values: as upstream's score file has them; None where the metric applies and has no value.
        details: see `metrics.base.Values`.
        error: type and message of what went wrong.
        video: the file that was scored: `size_bytes`, and `blake2b` of its content.
        settings: of the metric.
        asked: a hash of what the metric looks at of the prompt; "" where it looks at nothing, and in lines of older runs.
        seconds: that it took.
        at: when it was found, seconds since 1970.
    """

    key: str
    status: Literal["done", "failed"]
    values: Mapping[str, float | str | None] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, str] | None = None
    video: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    asked: str = ""
    seconds: float = 0.0
    at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        if clash := _OWN_FIELDS & set(self.details):
            raise ValueError(f"details of {self.key} must not be named {', '.join(sorted(clash))}")

    def is_of(self, *, video: Mapping[str, Any], settings: Mapping[str, Any], asked: str = "") -> bool:
        """Return whether it is about this very video and prompt, and found with these settings."""
        is_asked = self.asked in ("", asked)
        return is_asked and dict(self.video) == dict(video) and dict(self.settings) == dict(settings)

    def line(self) -> str:
        """Return it as a line of the file, its end included.

        Raises:
            ValueError: a value is no finite number.
        """
        outcome = {
            "status": self.status,
            "values": dict(self.values),
            "error": None if self.error is None else dict(self.error),
            "video": dict(self.video),
            "settings": dict(self.settings),
            **({"asked": self.asked} if self.asked else {}),
            "seconds": round(self.seconds, 3),
            "at": round(self.at, 3),
        }
        return json.dumps({"key": self.key, "outcome": outcome, **self.details}, allow_nan=False) + "\n"


def results_path(folder: Path, metric: str, *, shard: tuple[int, int] = (0, 1)) -> Path:
    """Return where a process writes."""
    index, count = shard
    name = f"{metric}.jsonl" if count == 1 else f"{metric}.{index}-of-{count}.jsonl"
    return folder / FOLDER / name


def read_results(folder: Path, metric: MetricName) -> dict[str, Result]:
    """Read the youngest result of each video.

    Lines of others, without `outcome`, are passed over: nothing says which video they are of.

    Raises:
        ScoresError: a whole line is no result.
    """
    found: dict[str, Result] = {}
    for path in detail_files(folder, metric):
        for result in _results_in(path):
            if result.key not in found or found[result.key].at <= result.at:
                found[result.key] = result
    return found


class ResultsWriter:
    """Appends results to a file, each with one write.

    Args:
        path: made where it is not there, its folder too.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        # What follows the last end of a line is of a process that was killed: a line is written at once.
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            os.ftruncate(self._descriptor, path.read_bytes().rfind(b"\n") + 1)

    def __enter__(self) -> ResultsWriter:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def write(self, result: Result) -> None:
        """Append one result.

        Raises:
            ValueError: a value is no finite number.
        """
        left = result.line().encode()
        while left:
            left = left[os.write(self._descriptor, left) :]


def _results_in(path: Path) -> Iterator[Result]:
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]  # the rest was being written when its process was killed
    for number, line in enumerate(whole.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if "outcome" in entry:
                details = {name: value for name, value in entry.items() if name not in _OWN_FIELDS}
                yield Result(key=entry["key"], details=details, **entry["outcome"])
        except (KeyError, TypeError, ValueError) as error:
            raise ScoresError(
                f'{path}, line {number}: expected {{"key": …, "outcome": {{"status": …, "values": …}}, …}}, found '
                f"{line[:80].decode(errors='replace')}… ({error}); remove the line, and run again"
            ) from error
