"""decode(): every backend that runs here against a full sequential decode, and what is said when one cannot."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="decode() gives tensors")

import torch

from loaders import clips, real_sample
from opens2v_data.errors import (
    CorruptFrameError,
    DecodeError,
    FrameIndexError,
    NotAVideoError,
    NoVideoStreamError,
    TruncatedVideoError,
)
from opens2v_loaders import decoding
from opens2v_loaders.backends import UnfitError
from opens2v_loaders.container import OpenClip
from opens2v_loaders.decoding import decode
from opens2v_loaders.torchcodec_backend import why_no_torchcodec

if TYPE_CHECKING:
    from pathlib import Path

    from opens2v_loaders.backends import BackendName

_ALL: list[BackendName] = ["pyav", "torchcodec", "pyav-upload"]
# What a backend does not take, with the reason it gives.
_REFUSED = {
    ("torchcodec", "ten bits"): "pixel format yuv420p10le to other colours",
    ("torchcodec", "odd size"): r"odd sizes \(63x47\) to other colours",
    ("pyav-upload", "odd size"): "odd size 63x47 is converted by swscale only",
}


def _skip_without(backend: str) -> None:
    if backend == "torchcodec" and (why := why_no_torchcodec()) is not None:
        pytest.skip(why)


def _rgb(frames: torch.Tensor) -> np.ndarray:
    return frames.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("backend", _ALL)
@pytest.mark.parametrize("name", clips.SPECS)
def test_every_backend_gives_the_frames_of_a_sequential_decode(name: str, backend: BackendName) -> None:
    _skip_without(backend)
    data = clips.clip_bytes(name)
    rgb, seconds = clips.decode_all(data)
    everything = range(len(rgb))
    if (why := _REFUSED.get((backend, name))) is not None:
        with pytest.raises(ValueError, match=f"backend {backend} cannot decode this clip to cpu: .*{why}"):
            decode(data, indices=everything, backend=backend)
        return
    clip = decode(data, indices=everything, full=(len(rgb) - 1,), backend=backend)
    # torch adds up 4:4:4 in floating point, swscale in integers: one level apart at ties.
    levels = 1 if (backend, name) == ("pyav-upload", "4:4:4") else 0
    assert np.abs(_rgb(clip.frames).astype(int) - rgb).max() <= levels
    assert torch.equal(clip.full[len(rgb) - 1], clip.frames[-1])
    assert clip.pts_seconds.tolist() == seconds.tolist() and clip.indices == tuple(everything)
    assert (clip.backend.name, clip.backend.reason, clip.backend.considered) == (backend, "asked for by name", ())


@given(
    name=st.sampled_from(
        ["B-frames", "open GOP with reference B-frames", "edit list inside a GOP", "audio first", "HEVC"]
    ),
    picks=st.lists(st.integers(0, 14), max_size=6),
    full=st.sets(st.integers(0, 14), max_size=2),
    backend=st.sampled_from(_ALL),
)
@settings(max_examples=60, deadline=None)
def test_any_frames_cropped_and_others_whole_in_one_pass(
    name: str, picks: list[int], full: set[int], backend: BackendName
) -> None:
    if backend == "torchcodec" and why_no_torchcodec() is not None:
        backend = "pyav"
    data = clips.clip_bytes(name)
    rgb, seconds = clips.decode_all(data)
    clip = decode(data, indices=picks, crop_xyxy=(3, 5, 50, 99), full=full, backend=backend)
    assert clip.crop_xyxy == (3, 5, 50, 48) and clip.frames.shape == (len(picks), 3, 43, 47)
    assert np.array_equal(_rgb(clip.frames), rgb[picks, 5:48, 3:50])
    assert clip.pts_seconds.tolist() == seconds[picks].tolist() and clip.pts_seconds.dtype == torch.float64
    assert clip.full.keys() == full
    assert all(np.array_equal(picture.permute(1, 2, 0), rgb[i]) for i, picture in clip.full.items())


@pytest.mark.parametrize("backend", _ALL)
def test_the_crop_is_resized_and_not_the_frame(backend: BackendName) -> None:
    _skip_without(backend)
    data = clips.clip_bytes("B-frames")
    rgb, _ = clips.decode_all(data)
    clip = decode(data, indices=[20, 4, 4], crop_xyxy=(7, 9, 61, 40), size=(22, 30), full=(4,), backend=backend)
    cropped = torch.from_numpy(rgb[[20, 4, 4], 9:40, 7:61]).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(cropped, size=(22, 30), mode="bilinear", antialias=True)
    assert torch.equal(clip.frames, expected) and clip.full[4].shape == (3, 48, 64)


@pytest.mark.parametrize("backend", _ALL)
def test_frames_come_as_coded_whatever_the_display_matrix(backend: BackendName) -> None:
    _skip_without(backend)
    data = clips.clip_bytes("B-frames")
    turned = decode(clips.with_rotation(data), indices=[7, 2], backend=backend)
    assert torch.equal(turned.frames, decode(data, indices=[7, 2], backend="pyav").frames)


@pytest.mark.parametrize("backend", _ALL)
def test_bytes_paths_and_files_are_read_alike(backend: BackendName, tmp_path: Path) -> None:
    _skip_without(backend)
    data = clips.clip_bytes("audio first")
    (tmp_path / "clip.mp4").write_bytes(data)
    expected = decode(data, indices=[3, 1]).frames
    file = io.BytesIO(data)
    file.seek(99)
    for source in (bytearray(data), memoryview(data), tmp_path / "clip.mp4", str(tmp_path / "clip.mp4"), file):
        assert torch.equal(decode(source, indices=[3, 1], backend=backend).frames, expected)
    assert not file.closed


def test_frames_are_written_into_the_buffer_given() -> None:
    data = clips.clip_bytes("B-frames")
    ring = torch.zeros((2, 4, 3, 48, 64), dtype=torch.uint8)
    clip = decode(data, indices=[5, 6, 5, 0], out=ring[1])
    assert clip.frames.data_ptr() == ring[1].data_ptr() and not ring[0].any()
    assert torch.equal(ring[1], decode(data, indices=[5, 6, 5, 0]).frames)


@pytest.mark.parametrize(
    "out", [torch.zeros(2, 3, 48, 60, dtype=torch.uint8), torch.zeros(2, 3, 48, 64)], ids=["size", "dtype"]
)
def test_a_buffer_that_does_not_fit_is_refused(out: torch.Tensor) -> None:
    with pytest.raises(
        ValueError, match=r"out must be uint8 \[2, 3, 48, 64\] on cpu, not (uint8|float32) \[2, 3, 48, "
    ):
        decode(clips.clip_bytes("B-frames"), indices=[0, 1], out=out)


def test_whole_frames_are_copies_of_their_own() -> None:
    clip = decode(clips.clip_bytes("B-frames"), indices=[0, 1], full=(0, 1))
    before = clip.full[0].clone()
    clip.frames.zero_()
    clip.full[1].zero_()
    assert torch.equal(clip.full[0], before) and before.any() and before.is_contiguous()


def test_threads_do_not_disturb_each_other() -> None:
    names = ["B-frames", "HEVC", "open GOP", "variable frame rate"]
    expected = {name: decode(clips.clip_bytes(name), indices=range(12)).frames for name in names}
    jobs = [(name, backend) for backend in ("pyav", "pyav-upload") for name in names] * 3
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda job: decode(clips.clip_bytes(job[0]), indices=range(12), backend=job[1]).frames, jobs)
        )
    assert all(torch.equal(frames, expected[name]) for frames, (name, _) in zip(found, jobs, strict=True))


def test_on_a_cpu_auto_takes_pyav_and_says_why() -> None:
    clip = decode(clips.clip_bytes("odd size"), indices=[1, 2], size=(20, 30), full=[2])
    assert clip.backend.name == "pyav" and "fastest exact one on a CPU" in clip.backend.reason
    assert repr(clip) == (
        "DecodedClip(frames=uint8[2, 3, 20, 30] on cpu, indices=[1, 2], full=[2], crop_xyxy=(0, 0, 63, 47), backend=pyav)"
    )


class _Fake:
    """A backend that refuses: beforehand, or while it runs."""

    def __init__(self, name: str, before: str | None, while_running: str | None = None) -> None:
        self.name, self._before, self._while_running = name, before, while_running

    def probe(self, clip: object, job: object) -> str | None:
        return self._before

    def read(self, clip: object, source: object, job: Any, target: Any) -> None:
        target.put_small(job.indices[0], torch.full((3, 48, 64), 9, dtype=torch.uint8))
        raise UnfitError(self._while_running)


def test_auto_goes_on_to_the_next_backend_and_remembers_each_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    order = {name: f"why {name}" for name in ("torchcodec-nvdec", "pyav-nvdec", "pyav-upload", "pyav")}
    monkeypatch.setattr(decoding, "_ON_CPU", order)
    fakes = {
        "pyav-nvdec": _Fake("pyav-fake", None, "no surfaces left"),
        "pyav-upload": _Fake("pyav-upload", "no pinned memory"),
    }
    monkeypatch.setattr(decoding, "_BACKENDS", decoding._BACKENDS | fakes)
    data = clips.clip_bytes("B-frames")
    clip = decode(data, indices=[4, 1])
    assert (clip.backend.name, clip.backend.reason) == ("pyav", "why pyav")
    assert clip.backend.considered == (
        ("torchcodec-nvdec", "it decodes on the GPU, and the frames are wanted on the CPU"),
        ("pyav-nvdec", "no surfaces left"),
        ("pyav-upload", "no pinned memory"),
    )
    assert np.array_equal(_rgb(clip.frames), clips.decode_all(data)[0][[4, 1]]), "what a failed backend wrote is gone"
    with pytest.raises(DecodeError, match="backend pyav-nvdec failed: no surfaces left"):
        decode(data, indices=[4], backend="pyav-nvdec")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("device", ["cuda", "cuda:3", torch.device("cuda")])
def test_asking_for_a_gpu_that_is_not_there_says_what_was_found(device: str | torch.device) -> None:
    with pytest.raises(ValueError, match=rf"torch {torch.__version__.split('+')[0]}.* finds no GPU here"):
        decode(clips.clip_bytes("B-frames"), indices=[0], device=device)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"device": "mps"}, "device must be cpu or cuda, not 'mps'"),
        ({"resize": "best"}, "resize must be exact or fast, not 'best'"),
        ({"size": (0, 32)}, r"size is \(height, width\) in pixels, both 1 or more, not \(0, 32\)"),
        ({"backend": "decord"}, "backend must be auto or one of pyav, torchcodec, .*, not 'decord'"),
        ({"backend": "torchcodec-nvdec"}, "cannot decode this clip to cpu: it decodes on the GPU"),
        ({"backend": "pyav-nvdec"}, "cannot decode this clip to cpu: it decodes on the GPU"),
        ({"crop_xyxy": (9, 9, 9, 12)}, "x0 < x1"),
        ({"crop": (0, 0, 9, 9), "crop_xyxy": (0, 0, 9, 9)}, "crop and crop_xyxy are one thing: give one of them"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        decode(clips.clip_bytes("B-frames"), indices=[0], **arguments)


def test_torchcodec_has_no_fast_scaling() -> None:
    _skip_without("torchcodec")
    with pytest.raises(ValueError, match="it has no fast scaling"):
        decode(clips.clip_bytes("B-frames"), indices=[0], size=(24, 32), resize="fast", backend="torchcodec")


@pytest.mark.parametrize("backend", _ALL)
def test_every_backend_raises_the_same_errors_for_clips_that_cannot_be_read(backend: BackendName) -> None:
    _skip_without(backend)
    data = clips.clip_bytes("B-frames")
    with pytest.raises(NotAVideoError, match="expected an MP4/MOV file, found 9 bytes"):
        decode(b"not a mp4", indices=[0], backend=backend)
    with pytest.raises(NoVideoStreamError, match="found only audio"):
        decode(clips.encode(clips.ClipSpec(audio="only")), indices=[0], backend=backend)
    with pytest.raises(FrameIndexError, match="frame 30 was asked for"):
        decode(data, indices=[0], full=(30,), backend=backend)
    with pytest.raises(DecodeError, match="keeps nothing of a 64x48 frame"):
        decode(data, indices=[0], crop_xyxy=(64, 0, 80, 9), backend=backend)
    with pytest.raises(DecodeError, match="colour matrix 8 "):
        decode(
            clips.encode(clips.ClipSpec(pts=(0, 20), options={"x264-params": "colormatrix=YCgCo"})),
            indices=[0],
            backend=backend,
        )
    with pytest.raises(TruncatedVideoError, match="the file is cut off") as caught:
        decode(data[: len(data) * 2 // 3], indices=[29], backend=backend)
    assert caught.value.num_frames_decoded < 29


@pytest.mark.parametrize("backend", _ALL)
@pytest.mark.parametrize("name", ["open GOP with reference B-frames", "fragmented", "HEVC", "VP9"])
def test_no_cut_gives_a_wrong_frame(name: str, backend: BackendName) -> None:
    _skip_without(backend)
    data = clips.clip_bytes(name)
    rgb, _ = clips.decode_all(data)
    delivered = refused = 0
    for end in range(100, len(data), 397):
        for frame_idx in (0, 13, 29):
            try:
                clip = decode(data[:end], indices=[frame_idx], backend=backend)
            except DecodeError:
                refused += 1
            else:
                delivered += 1
                assert np.array_equal(_rgb(clip.frames)[0], rgb[frame_idx]), f"{name} cut at {end}, frame {frame_idx}"
    assert refused and delivered


@pytest.mark.parametrize("backend", ["pyav", "pyav-upload"])
def test_a_damaged_picture_is_an_error_and_never_concealed(backend: BackendName) -> None:
    data = clips.clip_bytes("B-frames")
    rgb, _ = clips.decode_all(data)
    with OpenClip(data) as clip:
        victim = int(clip.table.position[14])
        start, size = clip.packets[victim].pos or 0, clip.packets[victim].size
    damaged = data[: start + 4] + bytes(size - 4) + data[start + size :]
    with pytest.raises(CorruptFrameError, match=r"frame 14 \(at .* cannot be decoded exactly") as caught:
        decode(damaged, indices=[3, 14], backend=backend)
    assert caught.value.frame_idx == 14
    with pytest.raises(CorruptFrameError, match="frame 14"):
        decode(damaged, indices=[3], full=(14,), backend=backend)
    assert np.array_equal(_rgb(decode(damaged, indices=[3, 9], backend=backend).frames), rgb[[3, 9]])


@pytest.mark.parametrize("backend", _ALL)
def test_bit_rot_raises_errors_of_ours_only(backend: BackendName) -> None:
    _skip_without(backend)
    data = clips.clip_bytes("open GOP with reference B-frames")
    rgb, _ = clips.decode_all(data)
    dice = random.Random(9)
    refused = right = 0
    for _ in range(60):
        flipped = bytearray(data)
        for _ in range(dice.randint(1, 4)):
            flipped[dice.randrange(len(data))] = dice.randrange(256)
        try:
            clip = decode(flipped, indices=[3, 17, 25], backend=backend)
        except DecodeError:
            refused += 1
        else:
            assert clip.frames.shape == (3, 3, 48, 64)
            right += np.array_equal(_rgb(clip.frames), rgb[[3, 17, 25]])
    assert right and refused >= (20 if backend != "torchcodec" else 1)


@real_sample.needs_real_sample
@pytest.mark.parametrize("backend", _ALL)
def test_on_the_real_clip_every_backend_is_exact(backend: BackendName) -> None:
    _skip_without(backend)
    data = real_sample.video_bytes()
    rgb, seconds = clips.decode_all(data)
    indices = [0, 2, 3, 51, 50, 94]
    clip = decode(data, indices=indices, full=(94, 1), backend=backend)
    assert np.array_equal(_rgb(clip.frames), rgb[indices]) and clip.pts_seconds.tolist() == seconds[indices].tolist()
    assert all(np.array_equal(clip.full[i].permute(1, 2, 0), rgb[i]) for i in (1, 94))


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_frames_as_arrays_need_no_torch_and_tensors_say_how_to_install_it() -> None:
    assert _run("import sys; from opens2v_loaders import read_frames; print('torch' in sys.modules)") == "False"
    code = (
        "import sys; sys.modules['torch'] = None\nimport opens2v_loaders\n"
        "try:\n    opens2v_loaders.decode\nexcept ImportError as error:\n    print(error.package, error)"
    )
    said = _run(code)
    assert said.startswith("torch ") and 'pip install "opens2v-data[torch]"' in said


@pytest.mark.parametrize("resize", ["exact", "fast"])
@pytest.mark.parametrize("size", [None, (30, 50)])
@pytest.mark.parametrize("backend", ["pyav", "pyav-upload"])
def test_a_window_keeps_that_part_of_the_resized_pictures(
    backend: BackendName, size: tuple[int, int] | None, resize: Literal["exact", "fast"]
) -> None:
    data = clips.clip_bytes("B-frames")
    job: dict[str, Any] = {"indices": [3, 9, 3], "crop_xyxy": (2, 1, 60, 41), "size": size, "resize": resize}
    whole = decode(data, **job, full=[4], backend=backend)
    part = decode(data, **job, full=[4], backend=backend, window_xyxy=(5, 0, 41, 30))
    assert torch.equal(part.frames, whole.frames[..., 0:30, 5:41])
    assert torch.equal(part.full[4], whole.full[4])
    out = torch.zeros((3, 3, 30, 36), dtype=torch.uint8)
    decode(data, **job, backend=backend, window_xyxy=(5, 0, 41, 30), out=out)
    assert torch.equal(out, part.frames)


@pytest.mark.parametrize(
    "window_xyxy", [(0, 0, 51, 30), (0, 0, 50, 31), (-1, 0, 50, 30), (9, 0, 9, 30), (0, 20, 50, 10)]
)
def test_a_window_outside_of_the_resized_picture_is_refused(window_xyxy: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="window_xyxy must lie in the resized picture of 50x30, not "):
        decode(clips.clip_bytes("B-frames"), indices=[0], size=(30, 50), window_xyxy=window_xyxy)
