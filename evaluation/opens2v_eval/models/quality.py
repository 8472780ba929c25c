"""How good do pictures look? What MotionSmoothness asks of a model, and Q-Align, the published one (arXiv:2312.17090).

Q-Align reads a question with the pictures in it, and the next token's likelihood among five words, each with its weight, is
the score: excellent 1, good 0.75, fair 0.5, poor 0.25, bad 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import torch

from opens2v_data.errors import MetricError
from opens2v_eval.models.checkpoints import quiet_transformers
from opens2v_eval.models.loading import transformers_for
from opens2v_eval.models.owl2 import Owl2
from opens2v_eval.models.pieces import read_pieces, vocabulary_and_merges
from opens2v_eval.models.pixels import CLIP_MEAN, CLIP_STD, normalised, pad_to_square, resize_bicubic

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

Precision = Literal["float16", "bfloat16", "float32"]

WORDS = ("excellent", "good", "fair", "poor", "bad")
WEIGHTS = (1.0, 0.75, 0.5, 0.25, 0.0)
# q_align/evaluate/scorer.py; the pictures stand where <|image|> is.
QUESTION = ("USER: How would you rate the quality of this video?\n", "\nASSISTANT: The quality of the video is")
# expand2square there: the mean colour, cut to whole levels.
PAD_COLOUR = tuple(int(mean * 255) for mean in CLIP_MEAN)
_WHAT = "MotionSmoothness"


class QualityModel(Protocol):
    """A model that scores runs of frames."""

    def scores(self, frames: Iterable[torch.Tensor], windows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Score windows of a video.

        Args:
            frames: all frames in order, some at a time: `(t, 3, H, W) uint8 RGB`.
            windows: frame numbers of each.

        Returns:
            `(len(windows),)`, 0 to 1.
        """
        ...


class QAlign:
    """Q-Align on mPLUG-Owl2. Each frame is seen once, and its tokens stand in every window that it is in.

    Args:
        model: in evaluation mode, on its device.
        tokenizer: Llama's, of transformers.
        frames_at_once, windows_at_once: in one pass.

    Raises:
        MetricError: the tokenizer does not have the words as tokens.
    """

    def __init__(self, model: Owl2, tokenizer: Any, *, frames_at_once: int = 8, windows_at_once: int = 16) -> None:
        self._model = model
        weight = model.lm_head.weight
        self._device, self._dtype = weight.device, weight.dtype
        self._frames_at_once, self._windows_at_once = frames_at_once, windows_at_once

        def ids(text: str) -> list[int]:
            # Whether a tokenizer puts the token that begins texts there by itself changed between versions of transformers.
            return list(tokenizer(text, add_special_tokens=False).input_ids)

        words = [ids(word)[:1] for word in WORDS]
        if len({*map(tuple, words)}) != len(WORDS) or not all(words) or tokenizer.bos_token_id is None:
            raise MetricError(
                f"{_WHAT}: expected Llama's tokenizer, in which the five words begin with tokens of their own, found {words} "
                f"and {tokenizer.bos_token_id} to begin a text with; name the repository or folder of q-future/one-align"
            )
        self._words = self._tensor([word[0] for word in words])
        self._before = self._tensor([tokenizer.bos_token_id, *ids(QUESTION[0])])
        self._after = self._tensor(ids(QUESTION[1]))

    @classmethod
    def load(cls, source: str, *, device: str, revision: str | None = None, precision: Precision = "float16") -> QAlign:
        """Load weights and tokenizer.

        Args:
            source: a folder, or the Hub id of a checkpoint, which is fetched once (17 GB).
            device: `cpu`, `cuda`, `cuda:1`.
            revision: of the Hub's repository.
            precision: of weights and scores; float16 as published. A score in float16 is a multiple of 1/2048 or finer.

        Raises:
            MissingExtraError: transformers or torch is not installed.
            MetricError: no such checkpoint, or one that does not fit.
        """
        transformers = transformers_for(_WHAT)
        folder = _folder(source, revision)
        tokenizer = _tokenizer(folder, transformers.LlamaTokenizer)
        return cls(Owl2.load(folder, dtype=getattr(torch, precision), device=device), tokenizer)

    @torch.inference_mode()
    def scores(self, frames: Iterable[torch.Tensor], windows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return `(len(windows),)` in the model's precision, on its device."""
        tokens = torch.cat([self._encoded(part) for some in frames for part in some.split(self._frames_at_once)])
        weights = torch.tensor(WEIGHTS, dtype=self._dtype, device=self._device)
        found = []
        for start in range(0, len(windows), self._windows_at_once):
            numbers = torch.tensor([list(window) for window in windows[start : start + self._windows_at_once]])
            pictures = tokens[numbers.to(self._device)].flatten(1, 2)
            logits = self._model.next_token_logits(self._before, pictures, self._after, wanted=self._words)
            found.append(torch.softmax(logits, -1) @ weights)
        return torch.cat(found)

    def _encoded(self, frames: torch.Tensor) -> torch.Tensor:
        size = self._model.vision_config["image_size"]
        squares = resize_bicubic(pad_to_square(frames.to(self._device), PAD_COLOUR), (size, size))
        return self._model.encode(normalised(squares, CLIP_MEAN, CLIP_STD).to(self._dtype))

    def _tensor(self, ids: Sequence[int]) -> torch.Tensor:
        return torch.tensor(ids, dtype=torch.long, device=self._device)


def _folder(source: str, revision: str | None) -> Path:
    if (local := Path(source)).is_dir():
        return local
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    # Its code (*.py) is not fetched: it is not run.
    patterns = ["*.json", "*.safetensors", "pytorch_model*.bin", "tokenizer.model"]
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise MetricError(
            f"{_WHAT}: {source!r} is no folder here, and the Hub does not give it: {str(error).splitlines()[0][:200]}; "
            "fetch it where there is a network, and name its folder"
        ) from error


def _tokenizer(folder: Path, kind: Any) -> Any:
    """Return Llama's tokenizer: transformers makes up an empty one where the files are not there."""
    try:
        if (folder / "tokenizer.json").is_file():
            with quiet_transformers():
                return kind.from_pretrained(folder)
        if (folder / "tokenizer.model").is_file():
            vocabulary, merges = vocabulary_and_merges(read_pieces(folder / "tokenizer.model"))
            return kind(vocab=vocabulary, merges=merges)
    except (OSError, ValueError, ImportError, TypeError) as error:
        raise MetricError(f"{_WHAT}: Llama's tokenizer in {folder} cannot be read: {error}; fetch it again") from error
    raise MetricError(
        f"{_WHAT}: expected Llama's tokenizer (tokenizer.json or tokenizer.model) in {folder}, found none; fetch it"
    )
