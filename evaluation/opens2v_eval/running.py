"""Score videos with metrics: what is left to do is done, what is done is kept, what goes wrong is told and counted.

    planned = scored + kept + skipped + failed          a pair of prompt and metric each

Metrics run one after another, so that one's models are in memory at a time, and only where a video is left for it. Each
result is written as soon as it is there (`results`): a killed run continues. Processes with shards of their own may share
the folder; upstream's score files are written from what all of them have found, of the videos and settings of today.
"""

from __future__ import annotations

import math
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from opens2v_data.errors import MetricError, MissingExtraError, Opens2vError
from opens2v_eval.frames import Video
from opens2v_eval.metrics import create_metric
from opens2v_eval.results import Result, ResultsWriter, read_results, results_path
from opens2v_eval.scorefiles import write_scores
from opens2v_eval.sources import Sources
from opens2v_eval.threads import map_in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    from opens2v_eval.metrics.base import Metric
    from opens2v_eval.prompts import Prompt, Prompts
    from opens2v_eval.scales import MetricName

NO_VIDEO = "there is no video"
NOT_APPLICABLE = "the metric does not apply to the prompt"


@dataclass(frozen=True, kw_only=True)
class Task:
    """A video to score: its prompt, where it is, what its content is, and a hash of what the metric looks at of the prompt."""

    prompt: Prompt
    source: Path | bytes
    video: Mapping[str, Any]
    asked: str = ""


class Scorer(Protocol):
    """Where metrics are computed: in this process, or elsewhere."""

    def results(self, metric: Metric, tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield the result of each task, in any order.

        Raises:
            MissingExtraError, EvaluationError: the metric cannot be set up.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A video that a metric could not score.

    Attributes:
        key: of the prompt.
        metric: its name.
        error: type and message.
    """

    key: str
    metric: str
    error: str


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What became of the plan: `planned == scored + kept + sum(skipped.values()) + len(failed)`.

    Attributes:
        planned: pairs of prompt and metric in this shard.
        scored: now.
        kept: scored earlier, with the same settings, of the same videos and prompts.
        skipped: why, and how many: `NO_VIDEO`, `NOT_APPLICABLE`.
        failed: now, or earlier where failures are not tried again.
        files: score files that were written.
    """

    planned: int = 0
    scored: int = 0
    kept: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    failed: tuple[Failure, ...] = ()
    files: tuple[Path, ...] = ()

    def __add__(self, other: RunReport) -> RunReport:
        return RunReport(
            planned=self.planned + other.planned,
            scored=self.scored + other.scored,
            kept=self.kept + other.kept,
            skipped=dict(Counter(self.skipped) + Counter(other.skipped)),
            failed=self.failed + other.failed,
            files=self.files + other.files,
        )


class LocalScorer:
    """Computes in this process, one video after another; in threads where a metric only waits (`parallel_videos`).

    Args:
        device: `cpu`, `cuda`, `cuda:1`: where frames and models are.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    def results(self, metric: Metric, tasks: Sequence[Task]) -> Iterator[Result]:
        """Set the metric up, score each, let it go."""
        metric.setup(self._device)
        try:
            yield from map_in_threads(
                lambda task: result_of(metric, task, device=self._device),
                tasks,
                threads=getattr(metric, "parallel_videos", 1),
                stop=metric.close,
            )
        finally:
            metric.close()


def run(
    videos: Mapping[str, str | PathLike[str]],
    prompts: Prompts | Iterable[Prompt],
    *,
    metrics: Sequence[MetricName | Metric],
    out: str | PathLike[str],
    device: str = "cpu",
    shard: tuple[int, int] = (0, 1),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    retry_failed: bool = True,
    scorer: Scorer | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> RunReport:
    """Score generated videos.

    Args:
        videos: prompt key to mp4; keys that are no prompt's are left alone.
        prompts: those of the domain.
        metrics: names, or metrics made by hand; they run in this order.
        out: folder of the scores, made where it is not there.
        device: `cpu`, `cuda`, `cuda:1`.
        shard: `(i, n)`: this process takes every n-th prompt from the i-th, 0 <= i < n.
        options: metric name to options of its class, for metrics given by name.
        retry_failed: whether videos that failed earlier are tried again.
        scorer: where metrics are computed; in this process unless given.
        progress: told the metric's name, how many of its videos are scored or kept, and of how many.

    Raises:
        ValueError: a shard or metric that makes no sense.
        MissingExtraError, EvaluationError: a metric cannot be set up. What goes wrong with one video is in the report.
    """
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(f"a shard is (i, n) with 0 <= i < n, not {shard}")
    chosen = [create_metric(m, **(options or {}).get(m, {})) if isinstance(m, str) else m for m in metrics]
    if len({metric.name for metric in chosen}) != len(chosen):
        raise ValueError(f"each metric runs once, not {', '.join(metric.name for metric in chosen)}")
    every = list(prompts)
    folder, sources = Path(out), Sources(videos)
    where = scorer or LocalScorer(device)
    report = RunReport()
    for metric in chosen:
        plan = _Plan.of(metric, every[index::count], sources, read_results(folder, metric.name), retry_failed)
        scored, failed = 0, list(plan.failed)
        total = plan.kept + len(plan.tasks)
        _tell(progress, metric.name, plan.kept, total)
        if plan.tasks:
            with ResultsWriter(results_path(folder, metric.name, shard=shard)) as writer:
                for done, result in enumerate(where.results(metric, plan.tasks), start=plan.kept + 1):
                    writer.write(result)
                    if result.status == "done":
                        scored += 1
                    else:
                        failed.append(_failure(metric, result))
                    _tell(progress, metric.name, done, total)
        report += RunReport(
            planned=len(every[index::count]),
            scored=scored,
            kept=plan.kept,
            skipped=plan.skipped,
            failed=tuple(failed),
            files=tuple(_write_score_files(folder, metric, every, sources)),
        )
    return report


def result_of(metric: Metric, task: Task, *, device: str) -> Result:
    """Score one video with a metric that is set up; what goes wrong with it is in the result.

    Raises:
        MissingExtraError: a package is not installed: no fault of the video.
    """
    start = time.perf_counter()
    common: dict[str, Any] = {
        "key": task.prompt.key,
        "video": task.video,
        "settings": dict(metric.settings()),
        "asked": task.asked,
    }
    try:
        found = metric.score(Video(task.source, key=task.prompt.key, device=device), task.prompt)
        for name, value in found.values.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise MetricError(
                    f"{metric.name} of {task.prompt.key}: expected a number for {name}, found {value}; "
                    "look at the video, and at the model's weights and precision"
                )
        result = Result(
            **common,
            status="done",
            values=found.values,
            details=found.details,
            seconds=time.perf_counter() - start,
        )
        result.line()  # details may be no JSON
        return result
    except MissingExtraError:
        raise
    except Exception as error:  # noqa: BLE001 - told as data; the other videos are scored
        told = {"type": type(error).__name__, "message": str(error)}
        if not isinstance(error, Opens2vError):
            told["trace"] = "".join(traceback.format_exception(error)[-3:])
        return Result(**common, status="failed", error=told, seconds=time.perf_counter() - start)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is left to do of a metric, and what becomes of the rest."""

    tasks: Sequence[Task]
    kept: int
    skipped: Mapping[str, int]
    failed: Sequence[Failure]

    @classmethod
    def of(
        cls,
        metric: Metric,
        prompts: Sequence[Prompt],
        sources: Sources,
        earlier: Mapping[str, Result],
        retry_failed: bool,
    ) -> _Plan:
        tasks, kept, failed = list[Task](), 0, list[Failure]()
        skipped = Counter[str]()
        settings = metric.settings()
        for prompt in prompts:
            if not metric.applies_to(prompt):
                skipped[NOT_APPLICABLE] += 1
                continue
            if prompt.key not in sources:
                skipped[NO_VIDEO] += 1
                continue
            result, video = earlier.get(prompt.key), sources.fingerprint(prompt.key)
            asked = sources.asked(prompt, metric)
            if result is not None and not result.is_of(video=video, settings=settings, asked=asked):
                result = None
            if result is not None and result.status == "done":
                kept += 1
            elif result is not None and not retry_failed:
                failed.append(_failure(metric, result))
            else:
                tasks.append(Task(prompt=prompt, source=sources.path(prompt.key), video=video, asked=asked))
        return cls(tasks=tasks, kept=kept, skipped=skipped, failed=failed)


def _write_score_files(folder: Path, metric: Metric, prompts: Sequence[Prompt], sources: Sources) -> list[Path]:
    """Write upstream's files of a metric from what all processes have found of the videos there are."""
    rows: dict[str, dict[str, Any]] = {}
    results, settings = read_results(folder, metric.name), metric.settings()
    for prompt in prompts:
        result = results.get(prompt.key)
        if result is None or result.status != "done" or prompt.key not in sources:
            continue
        asked = sources.asked(prompt, metric)
        if result.is_of(video=sources.fingerprint(prompt.key), settings=settings, asked=asked):
            rows[prompt.key] = {name: value for name, value in result.values.items() if value is not None}
    rows = {key: row for key, row in rows.items() if row}
    if not rows:
        return []
    if metric.name != "naturalscore":
        return [write_scores(folder, metric.name, rows)]
    runs = sorted({int(field.removeprefix("run_")) for row in rows.values() for field in row})
    answers = {run: {key: row[f"run_{run}"] for key, row in rows.items() if f"run_{run}" in row} for run in runs}
    return [write_scores(folder, metric.name, answers[run], run=run) for run in runs]


def _failure(metric: Metric, result: Result) -> Failure:
    error = result.error or {}
    return Failure(
        key=result.key, metric=metric.name, error=f"{error.get('type', 'Error')}: {error.get('message', '')}"
    )


def _tell(progress: Callable[[str, int, int], None] | None, stage: str, done: int, total: int) -> None:
    if progress is not None:
        progress(stage, done, total)
