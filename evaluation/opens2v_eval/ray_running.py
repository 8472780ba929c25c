"""Score videos on a cluster with Ray: workers compute, this process plans, writes and counts as `running.run` does.

    run(…) ──▶ RayScorer.results ──▶ worker: setup, then result_of for each video ──▶ lines in scores/details, written here

Workers are sent the videos' bytes and send results back, so they need no folder in common, only the packages, and the weights
or a way to the Hub. For one machine with one GPU it is not worth it: Ray takes about a gigabyte and tens of seconds to start.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opens2v_data.errors import MetricError, MissingExtraError
from opens2v_eval.results import Result
from opens2v_eval.running import Task, result_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    from opens2v_eval.metrics.base import Metric


class RayScorer:
    """Computes on Ray's workers: `run(…, scorer=RayScorer(num_workers=8, num_gpus=1))`.

    Ray is started on this machine unless it runs already (`ray.init` before, or `RAY_ADDRESS`), and left running. In the
    place of a worker that dies another is started, and given the video again, up to `retries` times; then the video has failed.

    Args:
        num_workers: processes; each loads the metric's models.
        device: where each computes: `cpu`, `cuda`.
        num_cpus, num_gpus: what each needs, as Ray counts it; a GPU may be shared by fractions.
        retries: of one video, when its worker died.

    Raises:
        MissingExtraError: Ray is not installed.
    """

    def __init__(
        self, *, num_workers: int = 1, device: str = "cpu", num_cpus: float = 1, num_gpus: float = 0, retries: int = 1
    ) -> None:
        if num_workers < 1 or retries < 0:
            raise ValueError(f"expected one worker or more and no negative retries, not {num_workers} and {retries}")
        self._num_workers, self._device, self._retries = num_workers, device, retries
        self._needs = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        _ray()

    def results(self, metric: Metric, tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield results as they come, in any order.

        Raises:
            MissingExtraError, EvaluationError: the metric cannot be set up on a worker.
        """
        ray = _ray()
        if not ray.is_initialized():
            ray.init(log_to_driver=False, include_dashboard=False)
        kind = ray.remote(**self._needs)(_Worker)
        workers = [kind.remote(metric, self._device) for _ in range(min(self._num_workers, len(tasks)))]
        waiting, running, deaths = list(reversed(tasks)), dict[Any, tuple[Any, Task]](), Counter[str]()

        def give(worker: Any) -> None:
            if waiting:
                task = waiting.pop()
                running[worker.score.remote(_shipped(task))] = worker, task

        try:
            _get(ray, [worker.ready.remote() for worker in workers])
            for worker in workers:
                give(worker)
            while running:
                (done,), _ = ray.wait(list(running), num_returns=1)
                worker, task = running.pop(done)
                result: Result | None = None
                try:
                    result = _get(ray, done)
                except ray.exceptions.RayError as error:
                    workers.remove(worker)
                    worker = kind.remote(metric, self._device)
                    workers.append(worker)
                    deaths[task.prompt.key] += 1
                    if deaths[task.prompt.key] <= self._retries:
                        waiting.append(task)
                    else:
                        result = _died(metric, task, deaths[task.prompt.key], error)
                give(worker)
                if result is not None:
                    yield result
        finally:
            for worker in workers:
                ray.kill(worker)


def _get(ray: ModuleType, references: Any) -> Any:
    """Return what workers gave; raise what they raised as it was raised there."""
    try:
        return ray.get(references)
    except ray.exceptions.RayTaskError as error:
        raise error.cause or error from None


def _died(metric: Metric, task: Task, times: int, error: Exception) -> Result:
    message = (
        f"{metric.name} of {task.prompt.key}: its worker died, {times} of {times} times ({type(error).__name__}); "
        "look at the worker's memory, and run again"
    )
    told = {"type": MetricError.__name__, "message": message}
    settings = dict(metric.settings())
    return Result(
        key=task.prompt.key, status="failed", error=told, video=task.video, settings=settings, asked=task.asked
    )


class _Worker:
    """Runs in a process of Ray's."""

    def __init__(self, metric: Metric, device: str) -> None:
        self._metric, self._device = metric, device
        self._is_ready = False

    def ready(self) -> None:
        if not self._is_ready:
            self._metric.setup(self._device)
            self._is_ready = True

    def score(self, task: Task) -> Result:
        self.ready()  # one that stands in for another has loaded nothing yet
        return result_of(self._metric, task, device=self._device)


def _shipped(task: Task) -> Task:
    if isinstance(task.source, Path):
        return replace(task, source=task.source.read_bytes())
    return task


def _ray() -> ModuleType:
    try:
        import ray  # pyright: ignore[reportMissingImports]
        import ray.exceptions  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingExtraError(package="ray", extra="ray", needed_for="scoring on a cluster") from error
    return ray
