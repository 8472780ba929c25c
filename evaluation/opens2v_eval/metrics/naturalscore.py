"""NaturalScore: how natural does a video look to a multimodal language model? 1 to 5, three times.

16 frames at whole steps, long side 512, as JPEG, and the same question in each run. What is written to the score files is the
judge's number, or the words of a refusal, which counts as no score. Frames are decoded on the CPU, whatever the device: JPEGs
are made there, and answers are kept by the JPEGs' bytes, so that a run on another device asks nothing twice.

**The question** asks for what the published one asks for, in this project's own words. For numbers to lay beside the
leaderboard's give upstream's words (`prompt` in its `eval/get_naturalscore.py`) by `prompt_file`, and its judge.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opens2v_data.errors import MetricError
from opens2v_eval.frames import NUM_NATURAL_FRAMES, natural_indices, rgb_arrays
from opens2v_eval.metrics.base import Values
from opens2v_eval.models.judge import PUBLISHED_JUDGE, Judge, JudgeOptions
from opens2v_eval.models.judge_cost import CostEstimate, estimate_cost
from opens2v_eval.models.judge_store import AnswerStore, default_store
from opens2v_eval.scales import NUM_NATURAL_RUNS
from opens2v_eval.threads import all_in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np

    from opens2v_eval.frames import Video
    from opens2v_eval.metrics.base import PromptPart
    from opens2v_eval.prompts import Prompt
    from opens2v_eval.scales import MetricName

LONG_SIDE = 512
QUESTION = """\
The images are frames of one video clip, in the order of time. Judge how natural the clip is: whether it could be a recording of \
the real world, or shows that it was generated.

Look at whether what happens makes sense; whether light, shadow, reflection and motion keep to physics; whether textures, \
details and proportions look as in reality; and whether things blur, morph, flicker or change from frame to frame. Where people \
are seen, look at their faces, bodies, hands and how they move.

Give one score:
1: certainly generated; frequent and plain artefacts, impossible shapes or motion
2: probably generated; clear signs, such as wrong anatomy or textures that change
3: undecided; mostly natural, with small flaws that raise doubt
4: probably real; few and slight irregularities, which a camera or compression explains
5: certainly real; nothing unnatural in it

Answer with the score only, a whole number from 1 to 5, without an explanation."""


class NaturalScore:
    """A language model's judgement of naturalness.

    Args:
        model: the judge's name at the server.
        base_url: of a server that speaks OpenAI's API; None for `$OPENAI_BASE_URL`, else OpenAI's own.
        api_key_variable: the environment's variable that holds the key.
        prompt_file: a text file with other words for the question; None for this module's.
        structured: ask for JSON by a schema, see `JudgeOptions`.
        runs: how often the same is asked, 3 as published.
        max_in_flight: requests under way at once.
        max_attempts: requests for one answer, failed ones included.
        timeout_seconds: for one request.
        store: a file that keeps answers; None for one in the user's cache folder.
        num_frames: frames to show, 16 as published.

    Raises:
        ValueError: numbers that make no sense.
        MetricError: the prompt's file cannot be read.
    """

    name: MetricName = "naturalscore"
    looks_at: tuple[PromptPart, ...] = ()

    def __init__(
        self,
        *,
        model: str = PUBLISHED_JUDGE,
        base_url: str | None = None,
        api_key_variable: str = "OPENAI_API_KEY",
        prompt_file: str | None = None,
        structured: bool = True,
        runs: int = NUM_NATURAL_RUNS,
        max_in_flight: int = 8,
        max_attempts: int = 6,
        timeout_seconds: float = 120,
        store: str | Path | None = None,
        num_frames: int = NUM_NATURAL_FRAMES,
    ) -> None:
        if runs < 1 or num_frames < 1:
            raise ValueError(f"expected one run and one frame or more, not {runs} and {num_frames}")
        self._options = JudgeOptions(
            model=model,
            base_url=base_url,
            api_key_variable=api_key_variable,
            structured=structured,
            max_in_flight=max_in_flight,
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
        )
        self._prompt = QUESTION if prompt_file is None else _read_prompt(prompt_file)
        self._runs, self._num_frames = runs, num_frames
        self._store = Path(store) if store is not None else None
        self._judge: Judge | None = None

    @property
    def parallel_videos(self) -> int:
        """How many videos may be scored at once, by threads: a request waits for the server, not for this machine."""
        return max(self._options.max_in_flight // self._runs, 1)

    def settings(self) -> Mapping[str, Any]:
        """Return the judge, a hash of its question, and the numbers of runs and frames."""
        return {
            "model": self._options.model,
            "server": self._options.server,
            "structured": self._options.structured,
            "prompt": hashlib.blake2b(self._prompt.encode(), digest_size=8).hexdigest(),
            "runs": self._runs,
            "num_frames": self._num_frames,
            "long_side": LONG_SIDE,
        }

    def applies_to(self, prompt: Prompt) -> bool:
        """Return True: to all."""
        return True

    def estimate(
        self,
        sizes: Iterable[tuple[int, int, int]],
        *,
        tokens_per_image: int | Callable[[int, int], int] | None = None,
        output_tokens: int | None = None,
        input_price: float | None = None,
        output_price: float | None = None,
    ) -> CostEstimate:
        """Return what judging videos would take, if no answer is stored yet.

        Args:
            sizes: width, height and number of frames of each video.
            tokens_per_image: a number, or a rule of width and height; None for the rule of GPT-4o's documentation.
            output_tokens: of an answer; None for a schema's single number.
            input_price: per million tokens, by your provider, today; None tells tokens only.
            output_price: likewise.

        Raises:
            ValueError: a negative price, or one price without the other.
        """
        shown = [
            (*long_side_size(width, height), len(natural_indices(count, self._num_frames)))
            for width, height, count in sizes
        ]
        given = {"tokens_per_image": tokens_per_image, "output_tokens": output_tokens}
        return estimate_cost(
            shown,
            prompt=self._prompt,
            runs=self._runs,
            input_price=input_price,
            output_price=output_price,
            **{name: value for name, value in given.items() if value is not None},  # pyright: ignore[reportArgumentType]
        )

    def setup(self, device: str) -> None:
        """Make the client and read stored answers; nothing is asked yet.

        Raises:
            MissingExtraError: the package openai is not installed.
            MetricError: no key in the environment, and no server of one's own named.
            EvaluationError: the store cannot be read.
        """
        store = AnswerStore(self._store or default_store())
        self._judge = Judge(self._options, prompt=self._prompt, store=store)

    def score(self, video: Video, prompt: Prompt) -> Values:
        """Return the answer of each run, `run_1` and on, as upstream's files have them.

        Raises:
            DecodeError: the video does not give its frames.
            MetricError: the judge does not answer, or `setup` was not called.
            EvaluationError: an answer could not be stored.
        """
        judge = self._judge
        if judge is None:
            raise MetricError(f"{self.name} of {video.key}: setup(device) comes before score")
        images = [jpeg(frame) for frame in rgb_arrays(video.on_cpu().natural(self._num_frames))]
        runs = range(1, self._runs + 1)
        threads = min(self._runs, self._options.max_in_flight)
        answers = all_in_threads(lambda run: judge.ask(images, run=run), runs, threads=threads)
        scores = [answer.score for answer in answers if answer.score is not None]
        return Values(
            values={f"run_{run}": answer.written for run, answer in zip(runs, answers, strict=True)},
            details={
                "frame_indices": natural_indices(video.num_frames, self._num_frames),
                "mean": sum(scores) / len(scores) if scores else None,
                "answers": [answer.as_json() for answer in answers],
            },
        )

    def close(self) -> None:
        """Ask nothing more, and close connections; may be called while videos are scored, which then fail (`Judge.close`)."""
        judge, self._judge = self._judge, None
        if judge is not None:
            judge.close()


def long_side_size(width: int, height: int) -> tuple[int, int]:
    """Return the width and height at which a frame is shown: long side 512, the other rounded down."""
    if height >= width:
        return max(int(width * LONG_SIDE / height), 1), LONG_SIDE
    return LONG_SIDE, max(int(height * LONG_SIDE / width), 1)


def jpeg(frame: np.ndarray) -> bytes:
    """Return a frame, `(H, W, 3) uint8 RGB`, as a JPEG file of long side 512, resized by area.

    Raises:
        MetricError: OpenCV cannot write it.
    """
    import cv2

    size = long_side_size(frame.shape[1], frame.shape[0])
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    is_written, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    if not is_written:
        raise MetricError(f"OpenCV cannot write a frame of {size[0]}x{size[1]} as JPEG: install a build of it that can")
    return data.tobytes()


def _read_prompt(path: str) -> str:
    try:
        words = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise MetricError(f"expected the words of the judge's question at {path}: {error}") from error
    if not words:
        raise MetricError(f"expected the words of the judge's question at {path}, the file is empty")
    return words
