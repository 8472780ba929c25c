"""What is scored: hashes of videos, and of what metrics look at of prompts, so that a run knows what it has scored before.

The domains share keys and not references: those of `singlehuman` in the human domain are cropped. A folder of scores that a
run of another domain is pointed at keeps what does not depend on that, and has the rest scored anew.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opens2v_eval.metrics.base import PROMPT_PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from opens2v_eval.metrics.base import Metric
    from opens2v_eval.prompts import Prompt

_DIGEST_BYTES = 16


class Sources:
    """Where the videos are, and what they and the prompts' images hold; each file is read once for that.

    Args:
        videos: prompt key to mp4.
    """

    def __init__(self, videos: Mapping[str, str | PathLike[str]]) -> None:
        self._paths = {key: Path(path) for key, path in videos.items()}
        self._found: dict[Path, dict[str, Any]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._paths and self._paths[key].is_file()

    def path(self, key: str) -> Path:
        """Return where a prompt's video is."""
        return self._paths[key]

    def fingerprint(self, key: str) -> dict[str, Any]:
        """Return `size_bytes` and `blake2b` of a prompt's video."""
        return self._of(self._paths[key])

    def asked(self, prompt: Prompt, metric: Metric) -> str:
        """Return a hash of what a metric looks at of a prompt (`looks_at`); "" where that is nothing."""
        parts = getattr(metric, "looks_at", PROMPT_PARTS)
        seen: dict[str, Any] = {}
        if "text" in parts:
            seen["text"] = prompt.prompt
        if "images" in parts:
            seen["images"] = [
                [name, label, self._of(path)["blake2b"] if path.is_file() else None]
                for name, label, path in zip(prompt.image_names, prompt.class_labels, prompt.image_paths, strict=True)
            ]
        if not seen:
            return ""
        return hashlib.blake2b(json.dumps(seen).encode(), digest_size=_DIGEST_BYTES).hexdigest()

    def _of(self, path: Path) -> dict[str, Any]:
        if path not in self._found:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES)).hexdigest()
                self._found[path] = {"size_bytes": file.tell(), "blake2b": digest}
        return self._found[path]
