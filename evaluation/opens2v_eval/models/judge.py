"""A multimodal language model that judges frames, at any server that speaks OpenAI's API.

answer stored? ── yes ──▶ it
   │ no
request ──▶ 200: score, refusal ──▶ stored
   │   ├──▶ 200 without either: asked once more, then stored as it came
   │   ├──▶ 400 about the schema: asked in words from then on
   │   ├──▶ 429: all wait as long as Retry-After says, else 2, 4, 8, … s; 408, 409, 5xx, no answer in time: this one waits
   └──▶ 401, 403, 404, no credit: an error now, and for whoever asks after
"""

from __future__ import annotations

import base64
import email.utils
import math
import os
import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from opens2v_data import waiting
from opens2v_data.errors import MetricError, MissingExtraError
from opens2v_eval.models.judge_answers import ANSWER_FORMAT, Answer, read_answer
from opens2v_eval.models.judge_store import question_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opens2v_eval.models.judge_store import AnswerStore

# The model of the published scores. Source: call_gpt() in upstream's get_naturalscore.py.
PUBLISHED_JUDGE = "gpt-4o-2024-11-20"
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 2.0, 60.0
_RETRIED = frozenset({408, 409, 429})
_MAX_UNREADABLE = 2
_CLOSED = "the judge is closed: nothing more is asked"
_GRACE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """Whom to ask, and how patiently.

    Attributes:
        model: its name at the server.
        base_url: of the server, `http://localhost:8000/v1`; None for `$OPENAI_BASE_URL`, else OpenAI's own.
        api_key_variable: the environment's variable that holds the key; it is read from nowhere else, and never told.
        structured: ask for JSON by a schema; a server that does not know of it is asked in words.
        max_in_flight: requests under way at once.
        max_attempts: requests for one answer, failed ones included.
        timeout_seconds: for one request.
        longest_wait_seconds: a server that asks to wait longer fails the video.
    """

    model: str = PUBLISHED_JUDGE
    base_url: str | None = None
    api_key_variable: str = "OPENAI_API_KEY"
    structured: bool = True
    max_in_flight: int = 8
    max_attempts: int = 6
    timeout_seconds: float = 120
    longest_wait_seconds: float = 300

    def __post_init__(self) -> None:
        for name in ("max_in_flight", "max_attempts", "timeout_seconds", "longest_wait_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is above 0, not {getattr(self, name)}")
        if not self.model:
            raise ValueError("model is the name of a model, not empty")

    @property
    def server(self) -> str | None:
        """The server's address without a user's name, password or query; None for OpenAI's own."""
        address = self.base_url or os.environ.get("OPENAI_BASE_URL")  # the client heeds it too
        if not address:
            return None
        parts = urlsplit(address)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


class Judge:
    """Asks, waits, and keeps answers. Threads may ask at once.

    Args:
        options: whom to ask.
        prompt: the words that follow the images.
        store: of answers; None keeps none.
        sleep: waits; another than `waiting.sleep` for tests.
        clock: seconds; another than `time.monotonic` for tests.

    Raises:
        MissingExtraError: the package openai is not installed.
        MetricError: no key in the environment, and no server of one's own named.
    """

    def __init__(
        self,
        options: JudgeOptions,
        *,
        prompt: str,
        store: AnswerStore | None = None,
        sleep: Callable[[float], None] = waiting.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError(package="openai", extra="eval", needed_for="NaturalScore") from error
        self._openai = openai
        self._key = os.environ.get(options.api_key_variable, "")
        if not self._key and options.server is None:
            raise MetricError(
                f"NaturalScore asks {options.model} at OpenAI: expected a key in ${options.api_key_variable}, found none; "
                "set it, or name another server by base_url"
            )
        self._client = openai.OpenAI(
            api_key=self._key or "none", base_url=options.base_url, timeout=options.timeout_seconds, max_retries=0
        )
        self._options, self._prompt, self._store = options, prompt, store
        self._sleep, self._clock = sleep, clock
        self._turns = threading.BoundedSemaphore(options.max_in_flight)
        self._lock = threading.Lock()
        self._structured = options.structured
        self._not_before = 0.0
        self._dead: str | None = None
        self._changed = threading.Condition(self._lock)
        self._num_asking = 0
        self._is_closed = False

    def ask(self, images: Sequence[bytes], *, run: int = 1) -> Answer:
        """Return the judge's answer; nothing is asked if it is stored.

        Args:
            images: JPEG files, in order.
            run: the same question is asked once for each.

        Raises:
            MetricError: no answer could be had.
            EvaluationError: the answer could not be stored.
        """
        options = self._options
        about = {
            "model": options.model,
            "server": options.server,
            "words": self._prompt,
            "schema": options.structured,
        }
        question = question_key(about, images)
        if self._store is not None and (stored := self._store.get(question, run=run)) is not None:
            return stored
        with self._asking():
            answer = self._answer(images)
            if self._store is not None:
                self._store.put(question, run=run, answer=answer)
            return answer

    def close(self) -> None:
        """Ask nothing more, and close connections.

        Requests under way are paid for: they are waited for, a second at most, so that their answers are kept. Those that
        take longer are not cut off: as long as the process lives, their answers are kept when they come.
        """
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: not self._num_asking, timeout=_GRACE_SECONDS)
            is_idle = not self._num_asking
        if is_idle:
            self._client.close()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Count who asks; the last one out of a closed judge closes connections."""
        with self._changed:
            self._num_asking += 1
        try:
            yield
        finally:
            with self._changed:
                self._num_asking -= 1
                is_last = self._is_closed and not self._num_asking
                self._changed.notify_all()
            if is_last:
                self._client.close()

    def _answer(self, images: Sequence[bytes]) -> Answer:
        waits = unreadable = 0
        for attempt in range(1, self._options.max_attempts + 1):
            self._wait_for_turn()
            structured = self._structured
            try:
                with self._turns:
                    self._see_to_life()
                    completion = self._request(images, structured=structured)
            except self._openai.APIStatusError as error:
                if structured and error.status_code in (400, 422) and _is_about_schema(error):
                    self._structured = False
                    continue
                if (refused := _refusal_of(error)) is not None:
                    return Answer(outcome="refusal", score=None, text=refused, form=_form(structured), requests=attempt)
                waits += 1
                self._take_failure(error, waits, is_last=attempt == self._options.max_attempts)
                continue
            except (self._openai.APIConnectionError, ValueError) as error:  # a timeout among them; no JSON
                waits += 1
                self._take_failure(error, waits, is_last=attempt == self._options.max_attempts)
                continue
            answer = _answer_of(completion, form=_form(structured), requests=attempt)
            unreadable += answer.outcome == "unreadable"
            if answer.outcome != "unreadable" or unreadable == _MAX_UNREADABLE:
                return answer
        return self._out_of_attempts("no answer that has a score")

    def _request(self, images: Sequence[bytes], *, structured: bool) -> Any:
        urls = [f"data:image/jpeg;base64,{base64.b64encode(image).decode('ascii')}" for image in images]
        content: list[Any] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        content.append({"type": "text", "text": self._prompt})
        more: dict[str, Any] = {"response_format": ANSWER_FORMAT} if structured else {}
        completion = self._client.chat.completions.create(
            model=self._options.model, messages=[{"role": "user", "content": content}], **more
        )
        if not getattr(completion, "choices", None):
            raise ValueError("the server's answer has no choices: it does not speak OpenAI's API of chat completions")
        return completion

    def _wait_for_turn(self) -> None:
        self._see_to_life()
        with self._lock:
            wait = self._not_before - self._clock()
        if wait > 0:
            self._sleep(wait)

    def _see_to_life(self) -> None:
        """Raise if nobody is to ask any more: the judge was closed, or told us that it will never answer."""
        with self._lock:
            if self._is_closed:
                raise MetricError(_CLOSED)
            if self._dead is not None:
                raise MetricError(self._dead)

    def _take_failure(self, error: Exception, failures: int, *, is_last: bool) -> None:
        """Wait before the next attempt, or raise."""
        status = getattr(error, "status_code", None)
        told = self._told(error)
        code = str(getattr(error, "code", "") or "")
        if status is not None and (code == "insufficient_quota" or not (status in _RETRIED or status >= 500)):
            message = (
                f"the judge {self._options.model} does not answer: {told}; see to the key in "
                f"${self._options.api_key_variable}, the model's name, the server and the account"
            )
            if status in (401, 403, 404) or code == "insufficient_quota":
                with self._lock:
                    self._dead = message
            raise MetricError(message) from error
        if is_last:
            self._out_of_attempts(told, cause=error)
        wait = _retry_after_seconds(error)
        if wait is not None and wait > self._options.longest_wait_seconds:
            raise MetricError(
                f"the judge {self._options.model} asks to wait {wait:.0f} s, more than the "
                f"{self._options.longest_wait_seconds:.0f} s allowed: {told}; run again later, answers so far are kept"
            ) from error
        if wait is None:
            longest = min(_FIRST_WAIT_SECONDS * 2 ** (failures - 1), _LONGEST_WAIT_SECONDS)
            wait = random.uniform(longest / 2, longest)  # so that threads do not come back all at once
        if status == 429:
            with self._lock:
                self._not_before = max(self._not_before, self._clock() + wait)
        else:
            self._sleep(wait)

    def _out_of_attempts(self, told: str, *, cause: Exception | None = None) -> Answer:
        raise MetricError(
            f"the judge {self._options.model} gave no answer in {self._options.max_attempts} requests, at last: {told}; "
            "run again later, answers so far are kept"
        ) from cause

    def _told(self, error: Exception) -> str:
        """Return an error's words without the key, which servers echo."""
        told = f"{type(error).__name__}: {error}"[:500]
        return told.replace(self._key, "***") if self._key else told


def _form(structured: bool) -> Any:
    return "schema" if structured else "words"


def _answer_of(completion: Any, *, form: Any, requests: int) -> Answer:
    choice = completion.choices[0]
    message = choice.message
    usage = completion.usage.model_dump() if completion.usage is not None else {}
    common: dict[str, Any] = {
        "model": completion.model or "",
        "form": form,
        "usage": {name: value for name, value in usage.items() if isinstance(value, int)},
        "requests": requests,
    }
    text = message.content or ""
    if getattr(message, "refusal", None):
        return Answer(outcome="refusal", score=None, text=message.refusal, **common)
    if choice.finish_reason == "content_filter":
        return Answer(outcome="refusal", score=None, text=text or "stopped by the server's content filter", **common)
    outcome, score = read_answer(text)
    return Answer(outcome=outcome, score=score, text=text, **common)


def _is_about_schema(error: Any) -> bool:
    words = f"{error} {getattr(error, 'param', '') or ''}".lower()
    return any(word in words for word in ("response_format", "json_schema", "structured output", "guided"))


def _refusal_of(error: Any) -> str | None:
    """Return the words of a refusal that came as an error: of a content filter in front of the model."""
    code = str(getattr(error, "code", "") or "")
    if error.status_code == 400 and code in ("content_filter", "content_policy_violation", "moderation_blocked"):
        return f"refused by the server: {code}"
    return None


def _retry_after_seconds(error: Exception) -> float | None:
    """Return how long the server asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        if not math.isnan(seconds):
            return max(seconds, 0.0)
    try:
        return max(email.utils.parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time(), 0.0)
    except (KeyError, ValueError, TypeError):
        return None
