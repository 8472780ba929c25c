"""MotionSmoothness: windows and artefacts by upstream's rules, and Q-Align from pixels to the score on random weights."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evaluation.videos import moving_pictures, write_video

pytest.importorskip("torch", reason="models are torch's")
pytest.importorskip("transformers", reason="the tokenizer is transformers'")

import torch
import transformers

from evaluation.tinyowl import (
    IMAGE_SIZE,
    config,
    random_weights,
    write_checkpoint,
    write_sentencepiece,
    write_tokenizer,
)
from opens2v_data.errors import MetricError
from opens2v_eval.frames import Video
from opens2v_eval.metrics.motion_smoothness import MotionSmoothness, artefact_frames, sliding_windows
from opens2v_eval.models.owl2 import Owl2
from opens2v_eval.models.pieces import read_pieces, vocabulary_and_merges
from opens2v_eval.models.pixels import CLIP_MEAN, CLIP_STD
from opens2v_eval.models.quality import QAlign
from opens2v_eval.prompts import Prompt
from opens2v_loaders import read_frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PROMPT = Prompt(
    key="singleobj_1", prompt="A dog.", image_names=("a.png",), image_paths=(Path("a.png"),), class_labels=("Dog",)
)
PAD = (122, 116, 104)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("owl"), random_weights(config(), seed=7, scale=0.6))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = moving_pictures(9, height=64, width=96, step=3)
    pictures[5:] = moving_pictures(9, height=64, width=96, seed=5)[5:]  # a cut, for a jump
    return write_video(tmp_path_factory.mktemp("videos") / "singleobj_1.mp4", pictures)


def upstreams_windows(num_frames: int, size: int) -> list[list[int]]:
    """Upstream's loop, on frame numbers."""
    left = (size - 1) // 2
    right = size - 1 - left
    found = []
    for now in range(num_frames):
        start, end = max(0, now - left), min(num_frames, now + right + 1)
        numbers = list(range(start, end))
        while len(numbers) < size:
            if start == 0:
                numbers.append(numbers[-1])
            else:
                numbers.insert(0, numbers[0])
        found.append([numbers[0]] * size if now < left else numbers)
    return found


@given(num_frames=st.integers(1, 40), size=st.integers(1, 7))
@settings(max_examples=80, deadline=None)
def test_windows_are_upstreams(num_frames: int, size: int) -> None:
    assert sliding_windows(num_frames, size) == upstreams_windows(num_frames, size)


def test_the_windows_of_the_benchmark_at_both_ends() -> None:
    assert sliding_windows(4) == [[0, 0, 0], [0, 1, 2], [1, 2, 3], [2, 2, 3]]
    assert sliding_windows(2) == [[0, 0, 0], [0, 1, 1]]
    assert sliding_windows(1) == [[0, 0, 0]]
    with pytest.raises(ValueError, match="expected frames and a window"):
        sliding_windows(0)


@given(scores=st.lists(st.integers(0, 2048).map(lambda n: n / 2048), min_size=1, max_size=30))
@settings(max_examples=80, deadline=None)
def test_artefacts_are_both_frames_of_each_jump(scores: list[float]) -> None:
    jumps = [n for n in range(len(scores) - 1) if abs(scores[n + 1] - scores[n]) > 0.025]
    assert artefact_frames(scores) == sorted({*jumps, *(n + 1 for n in jumps)})


def test_a_difference_of_the_threshold_is_no_jump() -> None:
    assert artefact_frames([0.0, 0.025, 0.0501, 0.06]) == [1, 2]
    assert artefact_frames([0.5]) == []


def pil_pixels(rgb: np.ndarray) -> torch.Tensor:
    """Squares of the mean colour, made small by PIL's bicubic, CLIP's mean and deviation."""
    side, pixels = max(rgb.shape[1:3]), []
    for picture in rgb:
        square = Image.new("RGB", (side, side), PAD)
        square.paste(Image.fromarray(picture), ((side - rgb.shape[2]) // 2, (side - rgb.shape[1]) // 2))
        small = np.asarray(square.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)) / 255
        pixels.append(((small - np.array(CLIP_MEAN)) / np.array(CLIP_STD)).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(pixels)).float()


def plain_scores(rgb: np.ndarray, checkpoint: Path) -> list[float]:
    """Each window on its own: PIL's pixels, the question's tokens by hand, softmax over the five words."""
    model = Owl2.load(checkpoint, dtype=torch.float32, device="cpu")
    tokens: dict[str, int] = transformers.LlamaTokenizer.from_pretrained(checkpoint).get_vocab()
    pixels = pil_pixels(rgb)
    before = ["▁USER:", "▁How", "▁would", "▁you", "▁rate", "▁the", "▁quality", "▁of", "▁this", "▁video?"]
    after = ["▁The", "▁quality", "▁of", "▁the", "▁video", "▁is"]
    ids = [tokens["<s>"], *(tokens[word] for word in before), tokens["<0x0A>"]]
    # Llama's tokenizer puts a space before each text; the line break after it is a byte.
    rest = [tokens["▁"], tokens["<0x0A>"], *(tokens[letter] for letter in "ASSISTANT:"), *(tokens[w] for w in after)]
    wanted = [tokens[f"▁{word}"] for word in ("excellent", "good", "fair", "poor", "bad")]
    found = []
    for window in upstreams_windows(len(rgb), 3):
        pictures = model.encode(pixels[window]).flatten(0, 1)[None]
        logits = model.next_token_logits(
            torch.tensor(ids), pictures, torch.tensor(rest), wanted=torch.arange(len(model.lm_head.weight))
        )[0][wanted]
        likely = torch.exp(logits) / torch.exp(logits).sum()
        found.append(float((likely * torch.tensor([1, 0.75, 0.5, 0.25, 0.0])).sum()))
    return found


def test_the_score_is_that_of_a_plain_reading(checkpoint: Path, path: Path, tmp_path: Path) -> None:
    """Of squares of the model's own size, so that no level of 255 differs: random weights make much of one."""
    small = write_video(tmp_path / "small.mp4", read_frames(path, range(9)).rgb[:, 8:36, 20:48])
    metric = MotionSmoothness(model=str(checkpoint), precision="float32")
    metric.setup("cpu")
    found = metric.score(Video(small, key="singleobj_1"), PROMPT)
    expected = plain_scores(read_frames(small, range(9)).rgb, checkpoint)
    np.testing.assert_allclose(found.details["frames"], expected, atol=1e-4)
    assert np.ptp(expected) > 0.05 and len(found.details["artefacts"]) > 0
    assert found.details["artefacts"] == artefact_frames(expected)
    assert found.values == {"motion_smoothness": 1 - len(artefact_frames(expected)) / 9}
    # Of a wide video the pixels are PIL's within a level or two, and the scores near.
    found = metric.score(Video(path, key="singleobj_1"), PROMPT)
    np.testing.assert_allclose(
        found.details["frames"], plain_scores(read_frames(path, range(9)).rgb, checkpoint), atol=0.1
    )
    metric.close()
    with pytest.raises(MetricError, match=r"setup\(device\) comes before score"):
        metric.score(Video(path, key="singleobj_1"), PROMPT)


def test_in_the_published_precision_it_is_near(checkpoint: Path, path: Path) -> None:
    metric = MotionSmoothness(model=str(checkpoint))
    assert metric.settings()["precision"] == "float16"
    metric.setup("cpu")
    frames = metric.score(Video(path, key="singleobj_1"), PROMPT).details["frames"]
    wide = MotionSmoothness(model=str(checkpoint), precision="float32")
    wide.setup("cpu")
    expected = wide.score(Video(path, key="singleobj_1"), PROMPT).details["frames"]
    np.testing.assert_allclose(frames, expected, atol=0.05)
    assert frames == [float(np.float16(value)) for value in frames]


def test_what_the_model_sees_is_pils_picture_on_a_square(path: Path) -> None:
    class Sees:
        vision_config: ClassVar = {"image_size": IMAGE_SIZE}
        lm_head = torch.nn.Linear(1, 1)

        def encode(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels

    class Tokenizer:
        bos_token_id = 1

        def __call__(self, text: str, *, add_special_tokens: bool) -> Any:
            return type("Encoded", (), {"input_ids": [*text.encode()]})

    rgb = read_frames(path, range(3)).rgb
    model: Any = Sees()
    for pictures in (rgb, rgb.transpose(0, 2, 1, 3)):
        pixels = QAlign(model, Tokenizer())._encoded(torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2))
        levels = (pixels - pil_pixels(np.ascontiguousarray(pictures))).abs() * max(CLIP_STD) * 255
        assert levels.max() < 2.1 and (levels > 0.5).float().mean() < 0.02


@given(text=st.text("USERHowldyatheqikvideo?\n: éß→", max_size=30))
@settings(max_examples=60, deadline=None)
def test_a_tokenizer_model_is_read_without_sentencepiece(text: str) -> None:
    """By what transformers gives for the same tokenizer from tokenizer.json."""
    whole, from_pieces = tokenizers()
    assert from_pieces(text, add_special_tokens=False).input_ids == whole(text, add_special_tokens=False).input_ids


@cache
def tokenizers() -> tuple[Any, Any]:
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder))
        whole = transformers.LlamaTokenizer.from_pretrained(folder)
        ids = whole.get_vocab()
        path = write_sentencepiece(Path(folder), sorted(ids, key=lambda piece: ids[piece]))
        assert read_pieces(path) == sorted(ids, key=lambda piece: ids[piece])
        vocabulary, merges = vocabulary_and_merges(read_pieces(path))
        return whole, transformers.LlamaTokenizer(vocab=vocabulary, merges=merges)


def test_a_checkpoint_with_a_tokenizer_model_scores_alike(checkpoint: Path, path: Path, tmp_path: Path) -> None:
    for file in checkpoint.iterdir():
        if "token" not in file.name:
            (tmp_path / file.name).symlink_to(file)
    ids = transformers.LlamaTokenizer.from_pretrained(checkpoint).get_vocab()
    write_sentencepiece(tmp_path, sorted(ids, key=lambda piece: ids[piece]))
    found = []
    for folder in (checkpoint, tmp_path):
        metric = MotionSmoothness(model=str(folder), precision="float32")
        metric.setup("cpu")
        found.append(metric.score(Video(path, key="singleobj_1"), PROMPT))
    assert found[0] == found[1]
    whole = (tmp_path / "tokenizer.model").read_bytes()
    for damaged in (b"", b"\x0a\xff", whole[:-3], b"\x0b" + whole, b"\xff" * 12):
        (tmp_path / "tokenizer.model").write_bytes(damaged)
        with pytest.raises(MetricError, match=r"cannot be read: .* is no tokenizer\.model"):
            MotionSmoothness(model=str(tmp_path)).setup("cpu")


def test_how_many_are_taken_at_once_does_not_matter(checkpoint: Path) -> None:
    model = Owl2.load(checkpoint, dtype=torch.float32, device="cpu")
    tokenizer = transformers.LlamaTokenizer.from_pretrained(checkpoint)
    frames = torch.from_numpy(moving_pictures(7)).permute(0, 3, 1, 2)
    whole = QAlign(model, tokenizer).scores([frames], sliding_windows(7))
    parts = QAlign(model, tokenizer, frames_at_once=2, windows_at_once=3)
    torch.testing.assert_close(parts.scores([frames[:3], frames[3:]], sliding_windows(7)), whole)


def test_any_model_that_scores_windows_will_do(path: Path) -> None:
    class Brightness:
        def scores(self, frames: Iterable[torch.Tensor], windows: Sequence[Sequence[int]]) -> torch.Tensor:
            means = torch.cat([part.float().mean((1, 2, 3)) / 255 for part in frames])
            return means[torch.tensor(windows)].mean(1)

    metric = MotionSmoothness(quality=Brightness())
    metric.setup("cpu")
    found = metric.score(Video(path, key="singleobj_1"), PROMPT)
    means = read_frames(path, range(9)).rgb.astype(np.float64).mean((1, 2, 3)) / 255
    expected = [float(means[window].mean()) for window in upstreams_windows(9, 3)]
    np.testing.assert_allclose(found.details["frames"], expected, atol=1e-5)
    assert "Brightness" in metric.settings()["model"]


def test_scores_that_are_none_are_refused(path: Path) -> None:
    class Broken:
        def scores(self, frames: Iterable[torch.Tensor], windows: Sequence[Sequence[int]]) -> torch.Tensor:
            return torch.full((len(windows),), torch.nan)

    metric = MotionSmoothness(quality=Broken())
    metric.setup("cpu")
    with pytest.raises(MetricError, match="expected 9 finite scores, found 9, 0 of them finite"):
        metric.score(Video(path, key="singleobj_1"), PROMPT)


def test_models_and_tokenizers_that_do_not_fit_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    class Words:
        bos_token_id = 1

        def __call__(self, text: str, *, add_special_tokens: bool) -> Any:
            return type("Encoded", (), {"input_ids": [5, len(text)]})

    model = Owl2.load(checkpoint, dtype=torch.float32, device="cpu")
    with pytest.raises(MetricError, match="expected Llama's tokenizer, in which the five words begin with tokens"):
        QAlign(model, Words())
    with pytest.raises(ValueError, match="precision is float16, bfloat16 or float32, not 'int8'"):
        MotionSmoothness(precision="int8")  # pyright: ignore[reportArgumentType]
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (checkpoint / name).is_file()
    for file in checkpoint.iterdir():
        if "token" not in file.name:
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(MetricError, match=r"expected Llama's tokenizer \(tokenizer\.json or tokenizer\.model\)"):
        MotionSmoothness(model=str(tmp_path)).setup("cpu")


def test_a_model_that_is_nowhere_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MetricError, match="'someone/none-align' is no folder here, and the Hub does not give it"):
        MotionSmoothness(model="someone/none-align").setup("cpu")
