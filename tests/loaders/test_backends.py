"""What backends share, and the parts of the GPU's that run without one."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

pytest.importorskip("torch", reason="backends give tensors")

import torch
from av.codec import CodecContext

from loaders import clips
from opens2v_data.errors import CorruptFrameError, DecodeError
from opens2v_loaders.annexb import AnnexBPackets, parameter_sets, with_start_codes
from opens2v_loaders.backends import Job, Target
from opens2v_loaders.container import OpenClip
from opens2v_loaders.cuda import NvdecBackend, why_no_nvdec_size
from opens2v_loaders.decoding import decode
from opens2v_loaders.frames import decoded
from opens2v_loaders.swscale import Converter
from opens2v_loaders.torchcodec_backend import TorchcodecBackend, by_nvdec_itself, why_no_torchcodec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.video.codeccontext import VideoCodecContext


def _job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "indices": (5, 2, 5),
        "full": (2, 7),
        "box_xyxy": (0, 0, 4, 4),
        "size": None,
        "scaling": "exact",
        "device": torch.device("cpu"),
    }
    return Job(**(values | changes))


def test_a_job_decodes_each_frame_once_and_in_order() -> None:
    assert _job().wanted == [2, 5, 7] and _job(box_xyxy=(1, 2, 9, 5)).out_size == (3, 8)
    assert _job(size=(6, 7)).out_size == (6, 7)


def test_a_target_puts_pictures_in_every_place_they_are_wanted() -> None:
    target = Target(job=_job(box_xyxy=(1, 0, 4, 2)), frames=torch.zeros((3, 3, 2, 3), dtype=torch.uint8))
    pictures = torch.arange(3 * 3 * 4 * 4, dtype=torch.uint8).reshape(3, 3, 4, 4)
    target.put([2, 5, 7], pictures)
    kept = pictures.clone()
    pictures.zero_()
    assert torch.equal(target.frames, kept[[1, 0, 1], :, 0:2, 1:4])
    assert target.full.keys() == {2, 7} and torch.equal(target.full[7], kept[2])


def _kept_decoder(codec: str) -> VideoCodecContext:
    context = cast("VideoCodecContext", CodecContext.create(codec, "r"))
    context.thread_count = 1
    return context


@pytest.mark.parametrize(
    ("codec", "names"),
    [
        (
            "h264",
            ["B-frames", "open GOP", "one keyframe", "open GOP with reference B-frames", "edit list inside a GOP"],
        ),
        ("hevc", ["HEVC"]),
        ("vp9", ["VP9"]),
    ],
)
def test_one_decoder_fed_clip_after_clip_gives_the_frames_of_each(codec: str, names: list[str]) -> None:
    context, converter = _kept_decoder(codec), Converter()
    for name in [*names, *reversed(names)]:
        data = clips.clip_bytes(name)
        rgb, _ = clips.decode_all(data)
        for wanted in ([len(rgb) - 1], [2, 7, 13], list(range(len(rgb))), [12]):
            with OpenClip(data) as clip:
                pictures = {
                    frame_idx: converter.rgb(frame).copy()
                    for frame_idx, frame in decoded(clip, wanted, context=context, packet_at=AnnexBPackets(clip))
                }
            assert sorted(pictures) == wanted
            assert all(np.array_equal(picture, rgb[i]) for i, picture in pictures.items()), f"{name}, frames {wanted}"


def test_a_kept_decoder_tells_damage_and_is_sound_for_the_next_clip() -> None:
    context, data = _kept_decoder("h264"), clips.clip_bytes("B-frames")
    with OpenClip(data) as clip:
        packet = clip.packets[int(clip.table.position[14])]
        start, size = packet.pos or 0, packet.size
    damaged = data[: start + 4] + bytes(size - 4) + data[start + size :]
    with OpenClip(damaged) as clip, pytest.raises(CorruptFrameError, match="frame 14"):
        list(decoded(clip, [14], context=context, packet_at=AnnexBPackets(clip)))
    rgb, _ = clips.decode_all(data)
    with OpenClip(data) as clip:
        found = [
            Converter().rgb(f).copy() for _, f in decoded(clip, [14], context=context, packet_at=AnnexBPackets(clip))
        ]
    assert np.array_equal(found[0], rgb[14])


def test_nal_units_get_start_codes_and_lengths_that_lie_do_no_harm() -> None:
    assert with_start_codes(b"\x00\x02ab\x00\x01c", 2) == b"\x00\x00\x00\x01ab\x00\x00\x00\x01c"
    assert with_start_codes(b"\xff\xff\xff\xffab", 4) == b"\x00\x00\x00\x01ab"
    assert with_start_codes(b"", 4) == b"" and with_start_codes(b"\x00\x00", 4) == b""


@pytest.mark.parametrize("name", ["B-frames", "HEVC"])
def test_parameter_sets_come_out_of_the_header_whole_or_not_at_all(name: str) -> None:
    with OpenClip(clips.clip_bytes(name)) as clip:
        codec, record = clip.codec, clip.context.extradata or b""
    sets = parameter_sets(codec, record).split(b"\x00\x00\x00\x01")[1:]
    kinds = [one[0] & 31 if codec == "h264" else one[0] >> 1 & 63 for one in sets]
    assert kinds[:3] == ([7, 8] if codec == "h264" else [32, 33, 34])
    assert all(one in record for one in sets)
    for end in range(len(record)):
        assert len(parameter_sets(codec, record[:end])) <= len(parameter_sets(codec, record))
    assert parameter_sets("vp9", record) == b"" and parameter_sets(codec, None) == b""


def test_torchcodec_that_counts_frames_in_another_way_is_refused() -> None:
    with OpenClip(clips.clip_bytes("B-frames")) as clip:
        times = torch.tensor([float(int(clip.table.pts[clip.table.position[i]]) * clip.time_base) for i in (4, 6)])
        TorchcodecBackend._check_times(clip, [4, 6], times.double())
        with pytest.raises(DecodeError, match=r"frame 5 is at .* s, and torchcodec gives the one at .* for it"):
            TorchcodecBackend._check_times(clip, [4, 5], times.double())


def test_what_torchcodec_says_of_a_clip_it_cannot_read_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    if (why := why_no_torchcodec()) is not None:
        pytest.skip(why)
    monkeypatch.setattr("opens2v_loaders.torchcodec_backend.whole_bytes", lambda source: b"no mp4 at all" * 9)
    with pytest.raises(DecodeError, match=r"torchcodec does not decode the clip .*Invalid data"):
        decode(clips.clip_bytes("B-frames"), indices=[0], backend="torchcodec")


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["libavutil.so.60: cannot open shared object file: No such file", "libavutil.so.59: cannot open shared object file"],
         "torchcodec does not find FFmpeg's libraries: libavutil.so.60, libavutil.so.59"),
        (["libnppicc.so.13: cannot open shared object file: No such file", "libavutil.so.59: cannot open shared object file"],
         "torchcodec does not load: libnppicc.so.13 cannot be found"),
        (["/a/libtorchcodec_core8.so: undefined symbol: _ZN3c10", "libavutil.so.59: cannot open shared object file"],
         "torchcodec does not load: it was built for another torch (undefined symbol _ZN3c10)"),
        (["no idea"], "torchcodec does not load: Could not load libtorchcodec. Likely causes: 1. FFmpeg OSError: no idea"),
    ],
)  # fmt: skip
def test_what_keeps_torchcodec_from_being_loaded_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, lines: list[str], why: str
) -> None:
    words = "Could not load libtorchcodec. Likely causes:\n  1. FFmpeg\n" + "\n".join(
        f"OSError: {line}" for line in lines
    )

    class Broken:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name.partition(".")[0] == "torchcodec":
                raise RuntimeError(words)

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchcodec"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert why_no_torchcodec() == why


def test_without_torchcodec_its_backend_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(ValueError, match=r'torchcodec is not installed: pip install "opens2v-data\[torch\]"'):
        decode(clips.clip_bytes("B-frames"), indices=[0], backend="torchcodec")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("B-frames", None),
        ("HEVC", "NVDEC decodes hevc of 144x144 to 8192x8192 pixels, and the clip has 64x48"),
        ("VP9", "NVDEC decodes vp9 of 128x128 to 8192x8192 pixels, and the clip has 64x48"),
        ("ten bits", "pixel format yuv420p10le of h264 is none that is given to NVDEC"),
        ("AV1", "codec av1: only h264, hevc, vp9"),
        ("MPEG-4 part 2", "codec mpeg4: only h264, hevc, vp9"),
        ("4:4:4", "pixel format yuv444p of h264 is none that is given to NVDEC"),
        ("odd size", "odd size 63x47"),
    ],
)
def test_clips_that_nvdec_does_not_take_are_named_beforehand(name: str, why: str | None) -> None:
    with OpenClip(clips.clip_bytes(name)) as clip:
        found = NvdecBackend().probe(clip, _job(device=torch.device("cuda:0")))
        assert found is None if why is None else why in (found or "")
        assert "frames are wanted on the CPU" in (NvdecBackend().probe(clip, _job()) or "")


def test_pictures_of_every_size_up_to_the_largest_are_for_nvdec() -> None:
    sizes = [(48, 16), (47, 16), (4096, 4096), (4098, 2160), (144, 144), (1280, 720), (8192, 8192), (8194, 16)]
    assert [why_no_nvdec_size("h264", *size) is None for size in sizes] == [
        True,
        False,
        True,
        False,
        True,
        True,
        False,
        False,
    ]
    assert [why_no_nvdec_size("hevc", *size) is None for size in sizes] == [
        False,
        False,
        True,
        True,
        True,
        True,
        True,
        False,
    ]
    assert why_no_nvdec_size("av1", 8, 8) is None


@pytest.mark.parametrize("known", [{"nvdec", "ffmpeg"}, {"beta", "ffmpeg"}, set[str]()])
def test_torchcodec_is_told_to_ask_nvdec_itself_under_the_name_of_its_version(
    monkeypatch: pytest.MonkeyPatch, known: set[str]
) -> None:
    now: list[str] = []

    @contextmanager
    def set_cuda_backend(name: str) -> Iterator[None]:
        if name not in known:
            raise ValueError(f"Invalid CUDA backend ({name})")
        now.append(name)
        yield
        now.remove(name)

    monkeypatch.setitem(sys.modules, "torchcodec.decoders", SimpleNamespace(set_cuda_backend=set_cuda_backend))
    with by_nvdec_itself():
        assert set(now) == known - {"ffmpeg"}
    assert not now
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", SimpleNamespace())
    with by_nvdec_itself():
        assert not now


def test_the_installed_torchcodec_asks_nvdec_itself_whatever_it_was_told_before() -> None:
    if (missing := why_no_torchcodec()) is not None:
        pytest.skip(missing)
    from torchcodec.decoders import _decoder_utils

    with _decoder_utils.set_cuda_backend("ffmpeg"):
        with by_nvdec_itself():
            assert _decoder_utils._get_cuda_backend() != "ffmpeg"
        assert _decoder_utils._get_cuda_backend() == "ffmpeg"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("B-frames", None),
        ("ten bits", "converts pixel format yuv420p10le to other colours"),
        ("4:4:4", "converts pixel format yuv444p to other colours"),
    ],
)
def test_torchcodec_on_a_gpu_takes_what_it_converts_as_swscale_does(name: str, why: str | None) -> None:
    if (missing := why_no_torchcodec()) is not None:
        pytest.skip(missing)
    with OpenClip(clips.clip_bytes(name)) as clip:
        found = TorchcodecBackend("cuda").probe(clip, _job(device=torch.device("cuda:0")))
        assert found is None if why is None else why in (found or "")
