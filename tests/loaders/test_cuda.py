"""What the GPU's backends do with pictures, with the CPU in the GPU's place: software decoders give NV12 and P010."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="backends give tensors")

import torch

from loaders import clips, real_sample
from opens2v_loaders import colour
from opens2v_loaders.backends import Job, Target, UnfitError, pictures_at_once
from opens2v_loaders.colour_check import AUTO_LEVELS
from opens2v_loaders.container import OpenClip
from opens2v_loaders.cuda import Waiting, _Decoders, _Look, interleaved_planes
from opens2v_loaders.decoding import decode
from opens2v_loaders.frames import decoded
from opens2v_loaders.swscale import FULL, LIMITED
from opens2v_loaders.torchcodec_backend import TorchcodecBackend, lower_green, why_no_torchcodec

if TYPE_CHECKING:
    from collections.abc import Callable

_CPU = torch.device("cpu")


def _target(clip: OpenClip, indices: list[int], **changes: Any) -> Target:
    width, height = clip.context.width, clip.context.height
    given: dict[str, Any] = {
        "indices": tuple(indices),
        "full": (),
        "box_xyxy": (0, 0, width, height),
        "size": None,
        "scaling": "exact",
        "device": _CPU,
    }
    job = Job(**(given | changes))
    return Target(job=job, frames=torch.full((len(indices), 3, *job.out_size), 7, dtype=torch.uint8))


def _as_nvdec_gives_them(data: bytes, indices: list[int], interleaved: str, **changes: Any) -> Target:
    """Decode in software to what NVDEC gives, rows of a pitch wider than the picture, and go the GPU's way from there."""
    with OpenClip(data) as clip:
        target = _target(clip, indices, **changes)
        assert clip.context.format is not None
        pixel_format, waiting = clip.context.format.name, None
        for frame_idx, frame in decoded(clip, target.job.wanted):
            look = _Look.of(frame, pixel_format, clip.codec)
            kept = {"src_color_range": look.color_range, "dst_color_range": look.color_range}
            there = frame.reformat(format=interleaved, **kept, **clips.ONE_SCALER_THREAD)
            waiting = waiting or Waiting(look=look, target=target)
            assert waiting.look == look
            waiting.add(frame_idx, interleaved_planes(there))
        if waiting is not None:
            waiting.convert()
    return target


@pytest.mark.parametrize("vui", ["colormatrix=bt709", "colormatrix=bt709:fullrange=on", "fullrange=on", ""])
def test_pictures_of_nvdec_become_those_of_the_cpu_by_way_of_nv12(vui: str) -> None:
    options = {"g": "10", "bf": "2"} | ({"x264-params": vui} if vui else {})
    data = clips.encode(clips.ClipSpec(options=options, width=60))
    job: dict[str, Any] = {"full": (5, 29), "size": (20, 31)}
    indices = [*range(0, 30, 2), 3, 4, 4, 9, 29]
    found = _as_nvdec_gives_them(data, indices, "nv12", box_xyxy=(3, 2, 57, 40), **job)
    expected = decode(data, indices=indices, crop_xyxy=(3, 2, 57, 40), **job, backend="pyav")
    assert torch.equal(found.frames, expected.frames)
    assert found.full.keys() == {5, 29}
    assert all(torch.equal(found.full[i], picture) for i, picture in expected.full.items())


def test_pictures_of_ten_bits_come_by_way_of_p010() -> None:
    params = "log-level=none:pools=1:bframes=0:crf=4:colormatrix=bt2020nc:colorprim=bt2020:transfer=smpte2084"
    spec = clips.ClipSpec(codec="libx265", options={"x265-params": params}, pixel_format="yuv420p10le")
    data = clips.encode(spec)
    found = _as_nvdec_gives_them(data, [1, 8, 20], "p010le")
    assert torch.equal(found.frames, decode(data, indices=[1, 8, 20], backend="pyav").frames)


@real_sample.needs_real_sample
def test_the_real_clip_comes_by_way_of_nv12() -> None:
    indices = [0, 2, 50, 94]
    found = _as_nvdec_gives_them(real_sample.video_bytes(), indices, "nv12", size=(480, 832))
    expected = decode(real_sample.video_bytes(), indices=indices, size=(480, 832), backend="pyav")
    assert torch.equal(found.frames, expected.frames)


def test_fewer_large_pictures_are_worked_on_together() -> None:
    assert [pictures_at_once(*size) for size in ((48, 64), (720, 1280), (1080, 1920), (2160, 3840), (4320, 7680))] == [
        16,
        16,
        7,
        1,
        1,
    ]


@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize("color_range", [LIMITED, FULL], ids=["limited", "full"])
def test_colours_are_within_two_levels_of_the_formulas_of_h273(matrix: int, color_range: int) -> None:
    """Of the formulas cut down to whole levels; swscale cuts each product, so rounded ones are three away at most."""
    red, blue = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    rng = np.random.default_rng(1)
    y, u, v = (torch.from_numpy(rng.integers(0, 256, shape, np.uint8)) for shape in ((64, 96), (32, 48), (32, 48)))
    is_full = color_range == FULL
    luma = (y.double() - (0 if is_full else 16)) * (1 if is_full else 255 / 219)
    cb, cr = (
        (c.double().repeat_interleave(2, 0).repeat_interleave(2, 1) - 128) * (1 if is_full else 255 / 224)
        for c in (u, v)
    )
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    expected = torch.stack([r, g, b]).clamp(0, 255)
    found = colour.rgb_from_yuv([y, u, v], pixel_format="yuv420p", matrix=matrix, color_range=color_range)
    assert (found - expected.floor()).abs().max() <= 2
    assert (found - expected).abs().max() <= 3


@pytest.mark.parametrize("matrix", [1, 5])
@pytest.mark.parametrize("color_range", [LIMITED, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("to_whole", [torch.round, torch.floor])
def test_exact_colours_of_torchcodec_are_within_two_levels_once_green_is_lower(
    matrix: int, color_range: int, to_whole: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    red, blue = {1: (0.2126, 0.0722), 5: (0.299, 0.114)}[matrix]
    is_full = color_range == FULL
    values = torch.arange(0, 256, 5).to(torch.uint8)
    y, u, v = torch.meshgrid(values, values, values, indexing="ij")
    y, u, v = (plane.reshape(52, -1).contiguous() for plane in (y, u, v))
    luma = (y.double() - (0 if is_full else 16)) * (1 if is_full else 255 / 219)
    cb, cr = ((c.double() - 128) * (1 if is_full else 255 / 224) for c in (u, v))
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    exact = to_whole(torch.stack([r, g, b]).clamp(0, 255)).to(torch.uint8)
    wide = y.repeat_interleave(2, 0).repeat_interleave(2, 1)
    ours = colour.rgb_from_yuv([wide, u, v], pixel_format="yuv420p", matrix=matrix, color_range=color_range)
    ours = ours[:, ::2, ::2].int()
    before = (exact.int() - ours).double().mean(dim=(1, 2)).abs()
    lower_green(exact)
    off = exact.int() - ours
    assert off.abs().max() <= AUTO_LEVELS
    if to_whole is torch.round:
        assert off[1].double().mean().abs() < before[1], "nearer on the whole, too"


def test_green_is_lowered_in_green_alone_and_not_below_nothing() -> None:
    pictures = torch.tensor([[0, 1, 255]] * 3, dtype=torch.uint8).view(1, 3, 1, 3)
    lower_green(pictures)
    assert pictures.flatten(1).tolist() == [[0, 1, 255, 0, 0, 254, 0, 1, 255]]


def test_a_decoder_that_could_not_be_made_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def make(codec: str, device: torch.device) -> Any:
        tried.append(codec)
        raise RuntimeError("no session left")

    monkeypatch.setattr(_Decoders, "_make", staticmethod(make))
    decoders = _Decoders()
    for name in ("B-frames", "HEVC", "B-frames", "open GOP"):
        codec = "hevc" if name == "HEVC" else "h264"
        refused = pytest.raises(UnfitError, match=f"no NVDEC decoder for {codec}: no session left")
        with OpenClip(clips.clip_bytes(name)) as clip, refused:
            decoders.borrow(clip, torch.device("cuda:0"))
    assert tried == ["h264", "hevc"]


def _torchcodec_in_the_gpus_place(data: bytes, indices: list[int], backend: TorchcodecBackend) -> Target:
    with OpenClip(data) as clip:
        target = _target(clip, indices)
        backend.read(clip, data, target.job, target)
    return target


def test_torchcodec_on_a_gpu_is_held_against_the_cpu_and_given_up_where_its_colours_are_others() -> None:
    if (missing := why_no_torchcodec()) is not None:
        pytest.skip(missing)
    data, ten_bits = clips.clip_bytes("B-frames"), clips.clip_bytes("ten bits")
    backend = TorchcodecBackend("cuda")
    found = _torchcodec_in_the_gpus_place(data, [0, 7, 21], backend)
    assert torch.equal(found.frames, decode(data, indices=[0, 7, 21]).frames)
    with pytest.raises(UnfitError, match=r"its colours are up to \d+ levels from the CPU's"):
        _torchcodec_in_the_gpus_place(ten_bits, [3], backend)
    monkey = pytest.MonkeyPatch()
    with OpenClip(ten_bits) as clip, monkey.context() as patch:
        patch.setitem(TorchcodecBackend.probe.__globals__["_CONVERTED_ALIKE"], "cuda", {"yuv420p10le"})
        assert "levels from the CPU's" in (backend.probe(clip, _target(clip, [3]).job) or ""), "not tried again"


def test_what_torchcodec_cannot_do_on_a_gpu_is_left_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    if (missing := why_no_torchcodec()) is not None:
        pytest.skip(missing)
    data, backend = clips.clip_bytes("B-frames"), TorchcodecBackend("cuda")
    with pytest.raises(UnfitError, match=r"display matrix turns it by -?90 degrees"):
        _torchcodec_in_the_gpus_place(clips.with_rotation(data), [0], backend)
    monkeypatch.setattr("opens2v_loaders.torchcodec_backend.whole_bytes", lambda source: b"no mp4 at all" * 9)
    with pytest.raises(UnfitError, match=r"RuntimeError: .*Invalid data"):
        _torchcodec_in_the_gpus_place(data, [0], backend)
