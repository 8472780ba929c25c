"""Every way to frames on a GPU against the CPU's, where there is a GPU.

Clips are four times as large as other tests' each way: NVDEC takes no HEVC below 144x144 pixels, and no VP9 below 128x128.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

pytest.importorskip("torch", reason="decode() gives tensors")

import torch

from loaders import clips, real_sample
from opens2v_data.errors import CorruptFrameError, DecodeError, FrameIndexError, NotAVideoError, TruncatedVideoError
from opens2v_loaders.backends import BackendName
from opens2v_loaders.colour_check import NAMED_LEVELS
from opens2v_loaders.container import OpenClip
from opens2v_loaders.decoding import DecodedClip, decode
from opens2v_loaders.destination import destination_on

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

_BACKENDS: list[Any] = ["auto", "torchcodec-nvdec", "pyav-nvdec", "pyav-upload", "pyav"]


@cache
def _large(name: str) -> bytes:
    """Return the clip of that name, 256x192 pixels, or one less each way."""
    spec = clips.SPECS[name]
    size = {"width": 4 * clips.WIDTH - spec.width % 2, "height": 4 * clips.HEIGHT - spec.height % 2}
    return clips.encode(replace(spec, scale=4, **size))


def _on_gpu(data: bytes, *, backend: Any = "auto", device: str = "cuda", **job: Any) -> DecodedClip:
    """Decode; skip where the backend says beforehand that the clip is not for it, or this GPU has no decoder for it."""
    try:
        return decode(data, **job, backend=backend, device=device)
    except (ValueError, DecodeError) as error:
        if backend != "auto" and ("cannot decode this clip" in str(error) or "fell back to the CPU" in str(error)):
            pytest.skip(str(error))
        raise


def _levels(found: torch.Tensor, expected: torch.Tensor) -> int:
    assert found.is_cuda and found.shape == expected.shape
    return int((found.cpu().int() - expected.int()).abs().max()) if expected.numel() else 0


def _allowed(ran: BackendName) -> int:
    """Return how far from the CPU's a backend's colours may be, see `colour_check`."""
    return NAMED_LEVELS if ran == "torchcodec-nvdec" else 2


@pytest.mark.parametrize("backend", _BACKENDS)
@pytest.mark.parametrize("name", clips.SPECS)
def test_frames_are_the_cpus_on_every_clip(name: str, backend: Any) -> None:
    data = _large(name)
    job: dict[str, Any] = {"indices": [*range(0, 15, 2), 3, 3, 14, 1], "full": (0, 13)}
    expected = decode(data, **job)
    found = _on_gpu(data, backend=backend, **job)
    assert found.pts_seconds.tolist() == expected.pts_seconds.tolist()
    assert _levels(found.frames, expected.frames) <= _allowed(found.backend.name), found.backend
    assert found.full.keys() == {0, 13}
    for number, picture in found.full.items():
        assert _levels(picture, expected.full[number]) <= _allowed(found.backend.name)


@pytest.mark.parametrize("backend", _BACKENDS)
@pytest.mark.parametrize("vui", ["colormatrix=bt709", "colormatrix=bt709:fullrange=on", "fullrange=on", ""])
def test_matrix_and_range_are_those_of_the_stream(vui: str, backend: Any) -> None:
    options = {"g": "10", "bf": "2"} | ({"x264-params": vui} if vui else {})
    data = clips.encode(clips.ClipSpec(options=options, scale=4, width=4 * clips.WIDTH, height=4 * clips.HEIGHT))
    job: dict[str, Any] = {
        "indices": range(0, 30, 3),
        "crop": (13, 25, 210, 171),
        "size": (30, 44),
        "window_xyxy": (2, 1, 40, 30),
    }
    out = torch.full((10, 3, 29, 38), 7, dtype=torch.uint8, device="cuda")
    found = _on_gpu(data, backend=backend, out=out, **job)
    assert found.frames.data_ptr() == out.data_ptr()
    assert _levels(found.frames, decode(data, **job).frames) <= _allowed(found.backend.name)


@real_sample.needs_real_sample
@pytest.mark.parametrize("backend", _BACKENDS)
def test_the_real_clip_comes_again_and_again_and_no_memory_is_lost(backend: Any) -> None:
    data = real_sample.video_bytes()
    job: dict[str, Any] = {"indices": range(0, 95, 2), "size": (480, 832), "full": (0,)}
    expected = decode(data, **job)
    found = _on_gpu(data, backend=backend, **job)
    assert _levels(found.frames, expected.frames) <= 2
    assert _levels(found.full[0], expected.full[0]) <= _allowed(found.backend.name)
    first = found.frames.clone()
    del found
    torch.cuda.synchronize()
    held = torch.cuda.memory_allocated()
    for _ in range(6):
        assert torch.equal(_on_gpu(data, backend=backend, **job).frames, first), "the same each time"
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() <= held + (1 << 20)


@pytest.mark.parametrize("backend", _BACKENDS)
def test_threads_on_streams_of_their_own_do_not_disturb_each_other(backend: Any) -> None:
    names = ["B-frames", "HEVC", "open GOP", "VP9"]
    expected = {name: decode(_large(name), indices=range(12), size=(40, 56)).frames for name in names}
    destination = destination_on(torch.device("cuda"), num_threads=4)

    def work(name: str) -> tuple[str, int, BackendName]:
        with destination.working():
            made = _on_gpu(_large(name), backend=backend, indices=range(12), size=(40, 56), ring=destination.ring)
            destination.mark().wait()
            return name, _levels(made.frames, expected[name]), made.backend.name

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, names * 6))
    destination.close()
    assert all(levels <= _allowed(ran) for _, levels, ran in found), found


@pytest.mark.parametrize("backend", ["auto", "pyav-upload", "pyav"])
def test_damage_is_told_as_on_the_cpu(backend: Any) -> None:
    data = _large("B-frames")
    with pytest.raises(NotAVideoError, match="expected an MP4/MOV file, found 9 bytes"):
        decode(b"not a mp4", indices=[0], backend=backend, device="cuda")
    with pytest.raises(FrameIndexError, match="frame 30 was asked for"):
        decode(data, indices=[30], backend=backend, device="cuda")
    with pytest.raises(TruncatedVideoError, match="the file is cut off"):
        decode(data[: len(data) * 2 // 3], indices=[29], backend=backend, device="cuda")
    if backend == "auto":
        return  # NVDEC conceals damage inside of a picture
    with OpenClip(data) as clip:
        packet = clip.packets[int(clip.table.position[14])]
        start, size = packet.pos or 0, packet.size
    damaged = data[: start + 4] + bytes(size - 4) + data[start + size :]
    with pytest.raises(CorruptFrameError, match=r"frame 14 \(at .* cannot be decoded exactly"):
        decode(damaged, indices=[14], backend=backend, device="cuda")


@pytest.mark.parametrize("backend", _BACKENDS)
def test_another_gpu_than_the_current_one_is_taken_where_it_is_named(backend: Any) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two NVIDIA GPUs")
    data = _large("B-frames")
    found = _on_gpu(data, backend=backend, device="cuda:1", indices=[3, 1], full=(2,))
    assert found.frames.device == found.full[2].device == torch.device("cuda:1")
    assert torch.cuda.current_device() == 0
    assert _levels(found.frames, decode(data, indices=[3, 1]).frames) <= _allowed(found.backend.name)
