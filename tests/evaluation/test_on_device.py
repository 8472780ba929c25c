"""Frames on a GPU stay there: what comes to host memory is scores, boxes and vectors, and the numbers are the host's.

There is no GPU here. Frames are said to be on one, so that metrics take the way of tensors, and whatever torch is asked to
bring to host memory is noted: `Tensor.cpu()`, `.numpy()`, `.tolist()`, and arrays made of tensors. What a test on a CPU cannot
see is `.to("cpu")`, as models' own inputs go there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.overrides import TorchFunctionMode
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

from evaluation import tinyfaces
from evaluation.scenes import PictureVideo, write_prompt
from evaluation.test_faces import SMALL, red_square, small_weights
from evaluation.tinygme import picture, write_tiny_gme
from evaluation.tinyowl import config, random_weights, write_checkpoint
from evaluation.tinyowlv2 import write_tiny_owlv2
from opens2v_eval import frames as frames_module
from opens2v_eval.frames import Video, rgb_arrays
from opens2v_eval.metrics.aesthetics import Aesthetics
from opens2v_eval.metrics.facesim import FaceSim
from opens2v_eval.metrics.gmescore import GmeScore
from opens2v_eval.metrics.motion_amplitude import MotionAmplitude
from opens2v_eval.metrics.motion_smoothness import MotionSmoothness
from opens2v_eval.metrics.naturalscore import NaturalScore
from opens2v_eval.metrics.nexusscore import NexusScore
from opens2v_eval.models.clip_aesthetics import AestheticHead
from opens2v_eval.models.detector_pixels import owlv2_pixels
from opens2v_eval.models.faces import largest_face
from opens2v_eval.models.faces_align import TEMPLATE, align_face, align_on_device
from opens2v_eval.models.faces_curricular import CurricularFace, Ir101
from opens2v_eval.models.faces_onnx import OnnxRecogniser
from opens2v_eval.models.faces_scrfd import Scrfd, fit, fit_on_device
from opens2v_eval.models.gme import Gme

if TYPE_CHECKING:
    from pathlib import Path

    from opens2v_eval.metrics import Metric
    from opens2v_eval.prompts import Prompt

TO_THE_HOST = frozenset({"cpu", "numpy", "tolist", "item", "__array__"})
MOST_NUMBERS = 1_000
"""Scores, boxes and vectors are fewer; a frame of these tests has 73,728 numbers, a face 37,632."""


class Crossings(TorchFunctionMode):
    """Notes what is brought to host memory."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, int, torch.dtype]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in TO_THE_HOST and args and isinstance(args[0], torch.Tensor):
            self.found.append((func.__name__, args[0].numel(), args[0].dtype))
        return func(*args, **(kwargs or {}))

    @property
    def pixels(self) -> list[tuple[str, int, torch.dtype]]:
        """Those that are pictures, by their type or their number."""
        return [one for one in self.found if one[2] == torch.uint8 or one[1] > MOST_NUMBERS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    for name in ("gme", "owlv2", "clip", "owl"):
        (made / name).mkdir()
    write_tiny_gme(made / "gme")
    write_tiny_owlv2(made / "owlv2", seed=1)
    write_checkpoint(made / "owl", random_weights(config(), seed=7, scale=0.6))
    torch.manual_seed(3)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    clip = CLIPVisionConfig(**shape, image_size=32, patch_size=8, projection_dim=12)  # pyright: ignore[reportArgumentType]
    CLIPVisionModelWithProjection(clip).save_pretrained(made / "clip")
    torch.save(AestheticHead((12, 16, 8, 8, 4, 1)).state_dict(), made / "head.pth")
    tinyfaces.write_tiny_scrfd(made / "det.onnx")
    tinyfaces.write_tiny_recogniser(made / "rec.onnx")
    return made


@pytest.fixture(scope="module")
def embedder(folder: Path) -> Gme:
    return Gme.load(str(folder / "gme"), min_image_tokens=4, max_image_tokens=8)


@pytest.fixture(scope="module")
def prompt(tmp_path_factory: pytest.TempPathFactory) -> Prompt:
    woman = Image.fromarray(red_square(200, 160, left=40, top=60, side=70, seed=9))
    return write_prompt(
        tmp_path_factory.mktemp("prompt"),
        "faceobj_1",
        ("Images/cup/1.png", "Cup", picture(40, 30, seed=5)),
        ("Images/woman/1.png", "Woman", woman),
    )


def metric_of(name: str, folder: Path, embedder: Gme) -> Metric:
    made: dict[str, Metric] = {
        "aesthetics": Aesthetics(clip=str(folder / "clip"), head=str(folder / "head.pth"), num_frames=3),
        "facesim": FaceSim(
            detector=str(folder / "det.onnx"), recogniser=str(folder / "rec.onnx"), arcface="", num_frames=3
        ),
        "gmescore": GmeScore(embedder=embedder, num_frames=3),
        "nexusscore": NexusScore(detector=str(folder / "owlv2"), embedder=embedder, num_frames=3),
        "motion_smoothness": MotionSmoothness(model=str(folder / "owl"), precision="float32"),
    }
    return made[name]


def shown() -> list[np.ndarray]:
    """Three frames of smooth colours: a face in one; one that fills another, found by its border; none in the third."""
    frames = [np.array(picture(192, 128, seed=seed)) // 3 for seed in (1, 2, 3)]
    frames[0][20:80, 30:90] = (250, 10, 60)
    frames[1][30:100, 60:130] = (250, 10, 90)
    return frames


def numbers_in(value: Any) -> list[float]:
    """Return all numbers in details, in order; None is none."""
    if isinstance(value, dict):
        return [number for one in value.values() for number in numbers_in(one)]
    if isinstance(value, list):
        return [number for one in value for number in numbers_in(one)]
    return [float(value)] if isinstance(value, int | float) else []


@pytest.mark.parametrize("name", ["aesthetics", "facesim", "gmescore", "nexusscore", "motion_smoothness"])
def test_no_picture_comes_to_host_memory_and_the_numbers_are_the_hosts(
    name: str, folder: Path, embedder: Gme, prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = metric_of(name, folder, embedder)
    metric.setup("cpu")
    video = PictureVideo(shown(), key=prompt.key)
    with Crossings() as by_host:
        wanted = metric.score(video, prompt)
    monkeypatch.setattr(frames_module, "is_on_gpu", lambda frames: True)
    with Crossings() as by_device:
        found = metric.score(video, prompt)
    assert by_device.pixels == []
    if name in ("facesim", "gmescore", "nexusscore"):
        assert by_host.pixels, "expected the host's way to bring frames there, or this test sees nothing"
    numbers = numbers_in(wanted.details), numbers_in(found.details)
    assert len(numbers[0]) > 3
    # Pixels that are a level or two apart (Pillow and torch, OpenCV and torch), through models of random weights.
    np.testing.assert_allclose(numbers[1], numbers[0], atol=0.02)
    assert dict(found.values) == pytest.approx(dict(wanted.values), abs=0.02)


def test_a_model_that_takes_no_tensors_gets_pictures_of_the_host(
    embedder: Gme, prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "is_on_gpu", lambda frames: True)
    metric = NexusScore(detector="evaluation.test_detector:EveryFrame", embedder=embedder, num_frames=2)
    metric.setup("cpu")
    found = metric.score(PictureVideo(shown(), key=prompt.key), prompt)
    assert [box[:3] for box in found.details["boxes"]] == [[0, 0, 1.0], [1, 0, 1.0]]


def test_onnxruntime_reads_a_tensor_where_it_lies(folder: Path) -> None:
    recogniser = OnnxRecogniser.load(str(folder / "rec.onnx"))
    faces = np.random.default_rng(3).integers(0, 255, (70, 112, 112, 3), dtype=np.uint8)  # more than one batch
    tensors = [torch.from_numpy(face).permute(2, 0, 1) for face in faces]  # not contiguous
    np.testing.assert_allclose(recogniser.embed(tensors), recogniser.embed(list(faces)), atol=1e-6)


def test_curricularface_gives_of_tensors_what_it_gives_of_arrays() -> None:
    model = Ir101(**SMALL)
    model.load_state_dict(small_weights())
    recogniser = CurricularFace(model)
    frame = np.array(picture(150, 130, seed=4))
    tensor = torch.from_numpy(frame).permute(2, 0, 1)
    landmarks = [TEMPLATE * 0.9 + 7, TEMPLATE * 1.1]
    arrays = [recogniser.align(frame, points) for points in landmarks]
    tensors = [recogniser.align(tensor, points) for points in landmarks]
    assert [tuple(face.shape) for face in tensors] == [(3, 112, 112)] * 2
    np.testing.assert_allclose(recogniser.embed(tensors), recogniser.embed(arrays), atol=2e-3)


def test_faces_are_aligned_to_a_level_of_opencvs() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (180, 240, 3), dtype=np.uint8)
    tensor = torch.from_numpy(noise).permute(2, 0, 1)
    off: list[np.ndarray] = []
    for _ in range(12):  # some reach out of the picture
        angle, scale = rng.uniform(-3, 3), rng.uniform(0.3, 3)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        landmarks = TEMPLATE @ turn.T + rng.uniform(-60, 160, 2)
        wanted = align_face(noise, landmarks).astype(int)
        off.append(np.abs(rgb_arrays(align_on_device(tensor, landmarks)[None])[0] - wanted))
    # OpenCV 4 rounds places to 1/32 of a pixel: with a step of 255 from pixel to pixel, and both axes, up to 8 levels.
    is_exact = int(cv2.__version__.partition(".")[0]) >= 5
    assert np.max(off) <= (1 if is_exact else 9) and np.mean(off) < (0.005 if is_exact else 2)
    with pytest.raises(ValueError, match="multiple of 112, not 100"):
        align_on_device(tensor, TEMPLATE, side=100)


@pytest.mark.parametrize(("height", "width"), [(240, 400), (400, 240), (97, 97)])
def test_pictures_are_fitted_to_a_level_of_opencvs(height: int, width: int) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)
    wanted, grown = fit(noise, side=320)
    got, got_grown = fit_on_device(torch.from_numpy(noise).permute(2, 0, 1), side=320)
    assert got_grown == grown
    assert np.abs(rgb_arrays(got[None])[0].astype(int) - wanted).max() <= 1


def test_a_face_found_by_its_border_is_where_the_host_finds_it(folder: Path) -> None:
    detector = Scrfd.load(str(folder / "det.onnx"))
    frame = red_square(120, 200, left=60, top=30, side=50)

    class SecondLook:
        """Finds nothing at first, and then what the detector finds."""

        looks = 0

        def detect(self, picture: Any) -> Any:
            self.looks += 1
            return [] if self.looks == 1 else detector.detect(picture)

    on_host, on_device = (largest_face(SecondLook(), one) for one in (frame, torch.from_numpy(frame).permute(2, 0, 1)))
    assert on_host is not None and on_device is not None
    np.testing.assert_allclose(on_device.landmarks, on_host.landmarks, atol=0.2)
    with pytest.raises(ValueError, match=r"\(3, H, W\) uint8, not \(120, 200, 3\) torch.uint8"):
        largest_face(detector, torch.from_numpy(frame))


@pytest.mark.parametrize(("height", "width"), [(50, 90), (180, 70), (64, 64), (20, 30)])
def test_pixels_for_owlv2_are_its_own_processors(height: int, width: int) -> None:
    processor = Owlv2ImageProcessorPil(size={"height": 64, "width": 48})
    noise = np.random.default_rng(2).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    wanted = processor(images=[Image.fromarray(one) for one in noise], return_tensors="pt")["pixel_values"]
    got = owlv2_pixels(torch.from_numpy(noise).permute(0, 3, 1, 2), processor)
    torch.testing.assert_close(got, wanted.to(got.dtype), atol=1e-5, rtol=0)


def test_motion_amplitude_and_naturalscore_decode_on_the_cpu(monkeypatch: pytest.MonkeyPatch, prompt: Prompt) -> None:
    asked: list[str] = []

    def read(video: Video, indices: tuple[int, ...]) -> torch.Tensor:
        asked.append(str(video.device))
        return torch.from_numpy(np.stack([shown()[index] for index in indices])).permute(0, 3, 1, 2)

    class Judge:
        def ask(self, images: Any, *, run: int) -> Any:
            raise RuntimeError("no judge")

    monkeypatch.setattr(Video, "_read", read)
    for name, value in (("num_frames", 3), ("width", 192), ("height", 128)):
        monkeypatch.setattr(Video, name, property(lambda video, value=value: value))
    MotionAmplitude().score(Video(b"", key=prompt.key, device="cuda"), prompt)
    natural = NaturalScore()
    natural._judge = Judge()  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(RuntimeError, match="no judge"):
        natural.score(Video(b"", key=prompt.key, device="cuda"), prompt)
    assert asked == ["cpu", "cpu"]
    Video(b"", key=prompt.key, device="cuda").frames([0])
    assert asked[-1] == "cuda"
