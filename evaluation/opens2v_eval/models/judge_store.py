"""Answers that were paid for, in a file of JSON lines, so that a rerun asks nothing twice.

    {"question": "<hash of model, words and frames>", "run": 2, "answer": {"outcome": "score", "score": 4, ...}}

Lines are appended whole, by any number of processes; the last line of a question and run counts; a torn line is passed over.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opens2v_data.errors import EvaluationError
from opens2v_eval.models.judge_answers import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KNOWN = frozenset(Answer.__dataclass_fields__)


def default_store() -> Path:
    """Return `opens2v/judge/answers.jsonl` in `$XDG_CACHE_HOME` or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "opens2v" / "judge" / "answers.jsonl"


def question_key(about: Mapping[str, Any], images: Sequence[bytes]) -> str:
    """Return a name for a question.

    Args:
        about: model, words and whatever else an answer depends on, as JSON.
        images: the frames' bytes, in order.
    """
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=20)
    for image in images:
        digest.update(len(image).to_bytes(8, "big"))
        digest.update(image)
    return digest.hexdigest()


class AnswerStore:
    """Answers by question and run.

    Args:
        path: of the file; it and its folder are made with the first answer.

    Raises:
        EvaluationError: the file cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, int], Answer] = {}
        try:
            lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        except OSError as error:
            raise EvaluationError(
                f"cannot read the judge's stored answers at {self.path}: {error}; name another file"
            ) from error
        for line in lines:
            self._take(line)

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, question: str, *, run: int) -> Answer | None:
        """Return the answer to a question in a run; None if it was not asked yet."""
        return self._answers.get((question, run))

    def put(self, question: str, *, run: int, answer: Answer) -> None:
        """Keep an answer.

        Raises:
            EvaluationError: the file cannot be written.
        """
        told = {name: value for name, value in answer.as_json().items() if name != "is_stored"}
        line = json.dumps({"question": question, "run": run, "answer": told}, ensure_ascii=True).encode() + b"\n"
        with self._lock:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("ab") as file:
                    # One write in append mode: lines of several processes do not mix. The newline in front ends a line that
                    # a killed process left torn.
                    file.write(b"\n" + line if self._is_torn() else line)
            except OSError as error:
                raise EvaluationError(
                    f"cannot keep the judge's answers at {self.path}: {error}; make room, or name another file"
                ) from error
            self._take(line)

    def _is_torn(self) -> bool:
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if not size:
                return False
            file.seek(size - 1)
            return file.read(1) != b"\n"

    def _take(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            told = {name: value for name, value in row["answer"].items() if name in _KNOWN}
            self._answers[row["question"], row["run"]] = Answer(**{**told, "is_stored": True})
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # torn, or not of this form: it is asked again
