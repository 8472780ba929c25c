"""Read and write scores in the form of upstream's scripts, so that anyone's results load.

    aesthetic_score.json      {key: {"aes_score": 4.81}}
    motion_amplitude.json     {key: {"motion_fb": 0.35, "motion_lk": 7.2}}       version 1.0: motionscore.json
    motion_smoothness.json    {key: {"motion_smoothness": 0.9}}
    facesim.json              {key: {"cur_score": 0.94, "arc_score": 0.93}}
    gmescore.json             {key: {"gme_score": 0.68}}
    nexusscore.json           {key: {"nexus_score": 0.013}}
    naturalscore_{1,2,3}.json {key: "4"}                                         as the judge said it

A file that is no JSON object is an error. An entry that cannot be used (a refusal, NaN, a key of no prompt) is left out, and
counted in `Scores.notes`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opens2v_data.errors import ScoresError
from opens2v_eval.details import FOLDER, read_detail, replace_text, write_detail
from opens2v_eval.jsonfiles import kind_of, read_object, shortened
from opens2v_eval.prompts import prefix
from opens2v_eval.scales import METRICS, NUM_NATURAL_RUNS, SCALES, MetricName, Scale

_PLAUSIBLE: dict[MetricName, tuple[float, float]] = {
    "aesthetics": (0, 10),
    "motion_smoothness": (0, 1),
    "motion_amplitude": (-math.inf, math.inf),
    "facesim": (-1, 1),
    "gmescore": (-1, 1),
    "nexusscore": (0, 1),
    "naturalscore": (1, 5),
}
"""What a metric can give; a number outside still counts, as it does upstream, and is told."""
_ANSWER = re.compile(
    r"(?:(?:final |overall |total )?(?:score|rating|answer)\s*(?:[:=]|is)\s*)?([1-5](?:\.\d+)?)(?:\s*/\s*5)?", re.I
)
_MARKUP = " \t\r\n*_`'\"#."
_MAX_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class Note:
    """Entries of a file that something is to be said of.

    Attributes:
        file: its name.
        problem: what it is, e.g. `not a number, left out`.
        count: how many entries.
        examples: some of them, with what they hold.
    """

    file: str
    problem: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.examples) else ""
        shown = f" ({', '.join(self.examples)}{more})" if self.examples else ""
        return f"{self.file}: {self.count} {self.problem}{shown}"


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of one model.

    Attributes:
        folder: where they were read.
        rows: every entry as it stands, by file (without `.json`) and key.
        values: the number of each video by metric and key, not clamped; a metric without a file is not in it. NaturalScore is the
            mean of the runs that gave a number.
        num_runs: how many runs of NaturalScore gave a number, by key.
        details: what was found in frames, by metric and key.
        notes: what is to be known of entries that are left out or odd.
    """

    folder: Path
    rows: Mapping[str, Mapping[str, Any]] = field(repr=False)
    values: Mapping[MetricName, Mapping[str, float]] = field(repr=False)
    num_runs: Mapping[str, int] = field(repr=False, default_factory=dict)
    details: Mapping[MetricName, Mapping[str, Mapping[str, Any]]] = field(repr=False, default_factory=dict)
    notes: tuple[Note, ...] = ()


class _Notes:
    """Counts entries by what is wrong with them."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[str]] = {}

    def add(self, file: str, problem: str, example: str = "") -> None:
        self._found.setdefault((file, problem), []).append(example)

    def all(self) -> tuple[Note, ...]:
        return tuple(
            Note(
                file=file,
                problem=problem,
                count=len(examples),
                examples=tuple(text for text in sorted(examples)[:_MAX_EXAMPLES] if text),
            )
            for (file, problem), examples in sorted(self._found.items())
        )


def read_scores(folder: str | Path, *, keys: Collection[str] | None = None) -> Scores:
    """Read the scores of a model.

    Args:
        folder: holds the files.
        keys: the prompts that count; None takes every key of the benchmark's form.

    Raises:
        ScoresError: no folder, no file of scores in it, or a file that cannot be read; the message has line and byte.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise ScoresError(
            f"{place}: expected a folder with score files such as {_file(SCALES['aesthetics'])}; there is none"
        )
    notes = _Notes()
    rows: dict[str, dict[str, Any]] = {}
    values: dict[MetricName, dict[str, float]] = {}
    num_runs: dict[str, int] = {}
    present = {path.stem: path for path in sorted(place.iterdir()) if path.suffix == ".json" and path.is_file()}
    for metric in METRICS:
        scale = SCALES[metric]
        stems = [stem for stem in scale.files if stem in present]
        for stem in stems:
            found = read_object(present[stem], expected=f"{scale.column} by key of a prompt", error=ScoresError)
            rows[stem] = found.members
            for key in found.repeated:
                notes.add(f"{stem}.json", "keys come more than once; the last entry counts", key)
        if not stems:
            continue
        if metric == "naturalscore":
            values[metric], num_runs = _naturals({stem: rows[stem] for stem in stems}, keys, notes)
        else:
            for stem in stems[1:]:
                notes.add(f"{stem}.json", f"file is not used, because {stems[0]}.json is there")
            values[metric] = _numbers(scale, stems[0], rows[stems[0]], keys, notes)
    if not rows:
        names = ", ".join(f"{stem}.json" for scale in SCALES.values() for stem in scale.files[:1])
        raise ScoresError(f"{place}: expected score files of upstream's names ({names} …), found none of them")
    for stem in present.keys() - rows.keys():
        more = re.fullmatch(r"naturalscore_\d+", stem) is not None
        problem = f"file is of a run after the {NUM_NATURAL_RUNS} that count" if more else "file is no file of scores"
        notes.add(f"{stem}.json", f"{problem}, and was not read")
    details: dict[MetricName, dict[str, dict[str, Any]]] = {
        metric: found for metric in METRICS if (found := read_detail(place, metric))
    }
    return Scores(folder=place, rows=rows, values=values, num_runs=num_runs, details=details, notes=notes.all())


def write_scores(
    folder: str | Path,
    metric: MetricName,
    rows: Mapping[str, Mapping[str, float] | str | float],
    *,
    run: int | None = None,
) -> Path:
    """Write one of upstream's files, sorted by key; return it.

    Args:
        folder: where to; made if absent.
        metric: whose.
        rows: an entry by key, with upstream's field names; of NaturalScore the judge's answer.
        run: which run of NaturalScore, from 1; the first three count.

    Raises:
        ValueError: a number that JSON does not have, a run that does not go with the metric.
    """
    scale = SCALES[metric]
    if (metric == "naturalscore") != (run is not None) or (run is not None and run < 1):
        raise ValueError(f"a run of 1 or more goes with naturalscore and with no other; got {run} for {metric}")
    stem = scale.files[0] if run is None else f"naturalscore_{run}"
    for key, row in rows.items():
        numbers = row.values() if isinstance(row, Mapping) else (row,)
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise ValueError(
                f"{stem}.json: expected finite numbers, got {row!r} for {key}; leave a video without a score out"
            )
    return _write(Path(folder), stem, rows)


def _write(folder: Path, stem: str, rows: Mapping[str, Any]) -> Path:
    # As upstream's scripts write it: json.dump(…, indent=4), without a newline at the end.
    text = json.dumps({key: rows[key] for key in sorted(rows)}, indent=4)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.json"
    replace_text(path, text)
    return path


def merge_scores(folders: Iterable[str | Path], out: str | Path) -> Scores:
    """Put the scores of several folders, such as those of shards, into one; in any order it gives the same.

    Raises:
        ScoresError: two folders have different entries for a key.
    """
    merged: dict[str, dict[str, Any]] = {}
    details: dict[MetricName, dict[str, Mapping[str, Any]]] = {}
    owners: dict[tuple[str, str], Path] = {}
    for folder in folders:
        scores = read_scores(folder)
        for stem, rows in scores.rows.items():
            for key, row in rows.items():
                _put(merged.setdefault(stem, {}), key, row, owners, (f"{stem}.json", key), scores.folder)
        for metric, found in scores.details.items():
            for key, entry in found.items():
                _put(
                    details.setdefault(metric, {}), key, entry, owners, (f"{FOLDER}/{metric}.jsonl", key), scores.folder
                )
    for stem, rows in merged.items():
        _write(Path(out), stem, rows)
    for metric, found in details.items():
        write_detail(out, metric, [found[key] for key in sorted(found)])
    return read_scores(out)


def _put(
    into: dict[str, Any], key: str, row: Any, owners: dict[tuple[str, str], Path], place: tuple[str, str], folder: Path
) -> None:
    # As text: NaN is unlike itself.
    if key in into and json.dumps(into[key]) != json.dumps(row):
        raise ScoresError(
            f"{place[0]}: {key} is {shortened(json.dumps(into[key]))} in {owners[place]} but {shortened(json.dumps(row))} in "
            f"{folder}; expected shards to share no video: remove one of the two"
        )
    into[key] = row
    owners.setdefault(place, folder)


def parse_answer(answer: object) -> tuple[float | None, bool]:
    """Return the number in a judge's answer, None where there is none, and whether it had to be taken out of words.

    `4`, `"4"` and `"4.5"` are numbers; `Score: 4`, `**4**` and `4/5` have one; a refusal or a sentence has none, even if a
    digit is in it.
    """
    if isinstance(answer, bool) or answer is None:
        return None, False
    if isinstance(answer, int | float):
        return _float(answer), False
    if not isinstance(answer, str):
        return None, False
    try:
        return float(answer), False
    except ValueError:
        match = _ANSWER.fullmatch(answer.strip(_MARKUP))
        return (float(match[1]), True) if match else (None, False)


def _naturals(
    runs: Mapping[str, Mapping[str, Any]], keys: Collection[str] | None, notes: _Notes
) -> tuple[dict[str, float], dict[str, int]]:
    found: dict[str, list[float]] = {}
    for stem, rows in runs.items():
        for key, answer in rows.items():
            if not _counts(f"{stem}.json", key, keys, notes):
                continue
            value, from_words = parse_answer(answer)
            if value is None:
                notes.add(
                    f"{stem}.json", "answers are no number (a refusal or prose), left out", f"{key}: {kind_of(answer)}"
                )
                continue
            if from_words:
                notes.add(
                    f"{stem}.json", "answers are more than a number; it was taken out", f"{key}: {kind_of(answer)}"
                )
            if (checked := _checked("naturalscore", f"{stem}.json", key, value, notes)) is not None:
                found.setdefault(key, []).append(checked)
    for key, values in found.items():
        if len(values) < NUM_NATURAL_RUNS:
            notes.add("naturalscore_*.json", f"videos have a number from fewer than {NUM_NATURAL_RUNS} runs", key)
    values = {key: sum(values) / len(values) for key, values in found.items()}
    return values, {key: len(values) for key, values in found.items()}


def _numbers(
    scale: Scale, stem: str, rows: Mapping[str, Any], keys: Collection[str] | None, notes: _Notes
) -> dict[str, float]:
    file = f"{stem}.json"
    found: dict[str, float] = {}
    for key, row in rows.items():
        if not _counts(file, key, keys, notes):
            continue
        if not isinstance(row, dict) or scale.field not in row:
            notes.add(file, f"entries have no field {scale.field}, left out", f"{key}: {kind_of(row)}")
            continue
        value = row[scale.field]
        if isinstance(value, bool) or not isinstance(value, int | float):
            notes.add(file, "entries are not a number, left out", f"{key}: {kind_of(value)}")
        elif (checked := _checked(scale.metric, file, key, value, notes)) is not None:
            found[key] = checked
    return found


def _counts(file: str, key: str, keys: Collection[str] | None, notes: _Notes) -> bool:
    """Say whether a key is one that counts, and note it if not."""
    try:
        prefix(key)
    except ValueError:
        notes.add(file, "keys are none of the benchmark's, left out", shortened(repr(key)))
        return False
    if keys is not None and key not in keys:
        notes.add(file, "keys are of prompts outside of this domain, left out", key)
        return False
    return True


def _checked(metric: MetricName, file: str, key: str, value: float, notes: _Notes) -> float | None:
    """Return a number that is finite, as a float."""
    number = _float(value)
    if not math.isfinite(number):
        notes.add(file, "entries are not finite, left out", f"{key}: {number}")
        return None
    low, high = _PLAUSIBLE[metric]
    if not low <= number <= high:
        notes.add(
            file,
            f"numbers lie outside of {low:g} to {high:g}; they count as upstream counts them",
            f"{key}: {number:g}",
        )
    return number


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf


def _file(scale: Scale) -> str:
    return f"{scale.files[0]}.json"
