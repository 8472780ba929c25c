"""YUV to RGB as tensor code against swscale, on noise: every value, and every pair of neighbours, occurs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="colour conversion on a GPU is torch code")

import av
import torch

from loaders import clips
from opens2v_loaders.colour import rgb_from_yuv, why_not
from opens2v_loaders.container import probe
from opens2v_loaders.cuda import split_chroma
from opens2v_loaders.decoding import decode
from opens2v_loaders.swscale import FULL, LIMITED

_MATRICES = {"bt709": 1, "fcc": 4, "bt601": 5, "smpte240m": 7, "bt2020": 9}
_SUBSAMPLED = ["yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv420p10le", "yuv422p10le", "yuv420p12le"]


def _noise(pixel_format: str, width: int = 66, height: int = 50) -> av.VideoFrame:
    rng = np.random.default_rng(7)
    frame = av.VideoFrame(width, height, pixel_format)
    bits = frame.format.components[0].bits
    for plane in frame.planes:
        values = np.frombuffer(memoryview(plane), np.uint8 if bits == 8 else np.uint16)
        values[:] = rng.integers(0, 1 << bits, values.shape, dtype=values.dtype)
    return frame


def _planes(frame: av.VideoFrame) -> list[torch.Tensor]:
    planes: list[torch.Tensor] = []
    for plane in frame.planes:
        dtype = np.dtype(np.uint8 if frame.format.components[0].bits == 8 else np.int16)
        rows = np.frombuffer(memoryview(plane), dtype).reshape(-1, plane.line_size // dtype.itemsize)
        planes.append(torch.from_numpy(rows[: plane.height, : plane.width].copy()))
    return planes


def _by_swscale(frame: av.VideoFrame, matrix: int, color_range: int) -> torch.Tensor:
    rgb = frame.reformat(
        format="rgb24",
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=color_range,
        dst_color_range=FULL,
        **clips.ONE_SCALER_THREAD,
    )
    return torch.from_numpy(rgb.to_ndarray()).permute(2, 0, 1)


@pytest.mark.parametrize("matrix", _MATRICES)
@pytest.mark.parametrize("color_range", [LIMITED, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("pixel_format", _SUBSAMPLED)
def test_subsampled_chroma_gives_the_values_of_swscale(pixel_format: str, color_range: int, matrix: str) -> None:
    if pixel_format.startswith("yuvj"):
        color_range = FULL
    frame = _noise(pixel_format)
    mine = rgb_from_yuv(
        _planes(frame), pixel_format=pixel_format, matrix=_MATRICES[matrix], color_range=color_range
    ).int()
    difference = (mine - _by_swscale(frame, _MATRICES[matrix], color_range)).abs()
    assert difference.max() <= 2, "the promise"
    assert (difference > 0).float().mean() < 0.001, "and what is found on x86: no difference at all"


@pytest.mark.parametrize("matrix", _MATRICES)
@pytest.mark.parametrize("color_range", [LIMITED, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuvj444p", "yuv444p10le"])
def test_whole_chroma_is_one_level_from_swscale_at_most(pixel_format: str, color_range: int, matrix: str) -> None:
    if pixel_format.startswith("yuvj"):
        color_range = FULL
    # Colours that can be shown: swscale wraps around far outside of RGB, where noise lies.
    rgb = np.random.default_rng(3).integers(0, 256, (50, 66, 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format=pixel_format,
        src_colorspace=_MATRICES[matrix],
        dst_colorspace=_MATRICES[matrix],
        src_color_range=FULL,
        dst_color_range=color_range,
        **clips.ONE_SCALER_THREAD,
    )
    mine = rgb_from_yuv(
        _planes(frame), pixel_format=pixel_format, matrix=_MATRICES[matrix], color_range=color_range
    ).int()
    assert (mine - _by_swscale(frame, _MATRICES[matrix], color_range)).abs().max() <= 1
    assert (mine - torch.from_numpy(rgb).permute(2, 0, 1)).abs().max() <= 3, "and it is the colour that went in"


@pytest.mark.parametrize("vui", ["", "colormatrix=bt709", "colormatrix=bt2020nc:fullrange=on", "fullrange=on"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv422p10le", "yuv444p"])
def test_a_clip_has_the_same_colours_wherever_they_are_converted(pixel_format: str, vui: str) -> None:
    options = {"g": "12", "bf": "0"} | ({"x264-params": vui} if vui else {})
    data = clips.encode(clips.ClipSpec(pts=(0, 20, 40), options=options, pixel_format=pixel_format))
    on_cpu = decode(data, indices=[2, 0], backend="pyav").frames.int()
    uploaded = decode(data, indices=[2, 0], backend="pyav-upload").frames.int()
    assert (on_cpu - uploaded).abs().max() <= (1 if pixel_format == "yuv444p" else 0)


def test_hdr_code_values_are_handed_out_as_they_are() -> None:
    found = {}
    for transfer in ("smpte2084", "bt709"):
        # Not two frames with B-frames: FFmpeg's muxer refuses what x265 gives for them, one time in five.
        params = f"log-level=none:pools=1:bframes=0:crf=4:colormatrix=bt2020nc:colorprim=bt2020:transfer={transfer}"
        spec = clips.ClipSpec(codec="libx265", options={"x265-params": params}, pixel_format="yuv420p10le")
        data = clips.encode(spec)
        found[transfer] = decode(data, indices=[1]).frames
        assert probe(data).color_transfer == {"smpte2084": "pq", "bt709": "bt709"}[transfer]
        assert torch.equal(decode(data, indices=[1], backend="pyav-upload").frames, found[transfer])
    assert torch.equal(found["smpte2084"], found["bt709"]), "no tone mapping"


@pytest.mark.parametrize(("planar", "interleaved"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
def test_what_nvdec_gives_is_taken_apart_into_the_planes_of_a_cpu(planar: str, interleaved: str) -> None:
    frame = _noise(planar)
    there = frame.reformat(
        format=interleaved, src_color_range=LIMITED, dst_color_range=LIMITED, **clips.ONE_SCALER_THREAD
    )
    luma, chroma = (torch.from_dlpack(plane.__dlpack__()) for plane in there.planes)
    assert chroma.shape == (25, 33, 2)
    for mine, theirs in zip(split_chroma(luma, chroma), _planes(frame), strict=True):
        assert mine.dtype == theirs.dtype and torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("pixel_format", "codec", "width", "complaint"),
    [
        ("gbrp", "h264", 64, "gbrp is converted by swscale only"),
        (None, "h264", 64, "None is converted by swscale only"),
        ("yuv420p", "vp9", 63, "odd size 63x48"),
        ("yuv420p10le", "vp9", 64, "where vp9 puts the chroma"),
    ],
)
def test_formats_that_are_left_to_swscale_are_named(
    pixel_format: str | None, codec: str, width: int, complaint: str
) -> None:
    assert complaint in (why_not(pixel_format, codec=codec, width=width, height=48) or "")
    assert why_not("yuv444p", codec=codec, width=width, height=47) is None
