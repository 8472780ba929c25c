"""What has this machine for decoding on a GPU? A line for each thing, with what follows where it is missing.

    python benchmarks/gpu_facts.py
    python benchmarks/gpu_facts.py --device cpu       # the ways that need no GPU

Nothing here ends the others: libraries are loaded, and each way to decode is tried, in processes of their own.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from measure import ROOT
from shared_libraries import with_links

WAYS = {
    "cuda": ["torchcodec-nvdec", "pyav-nvdec", "pyav-upload", "pyav", "auto"],
    "cpu": ["pyav", "torchcodec", "auto"],
}
_NEEDED = {
    "av": "nothing decodes",
    "torchcodec": "its ways are left out",
    "duckdb": "no loader.py and no eval.py",
    "msgspec": "no loader.py",
    "pyarrow": "no loader.py",
    "pytest": "no tests",
    "hypothesis": "no tests",
    "transformers": "no eval.py",
    "cv2": "no eval.py",
    "onnxruntime": "no FaceSim in eval.py",
}
_SECONDS = 40  # for one way: torch is imported, CUDA begun and two clips decoded in ten


def main() -> None:
    """Print a line for each fact."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=list(WAYS), default="cuda")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(tried(arguments.way, arguments.device), flush=True)
        return
    checks: list[Callable[[], Iterator[str]]] = [of_the_machine, of_packages, of_torch]
    checks += [of_the_driver, of_libraries, of_pyav] if arguments.device == "cuda" else []
    for check in checks:
        try:
            for line in check():
                print(line, flush=True)
        except Exception as error:  # noqa: BLE001 - each fact is told, whatever another brings down
            print(f"NO  {check.__name__.replace('_', ' ')}: {type(error).__name__}: {error}", flush=True)
    if arguments.device == "cpu" or is_a_gpu_here():
        for line in of_ways(arguments.device):
            print(line, flush=True)


def is_a_gpu_here() -> bool:
    """Return whether torch finds one."""
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def of_the_machine() -> Iterator[str]:
    """Yield what runs here."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield f"ok  machine: {os.cpu_count()} cores, {memory:.0f} GiB, {platform.platform()}, Python {platform.python_version()}"


def of_packages() -> Iterator[str]:
    """Yield versions, and what cannot be done without what is missing."""
    found = []
    for name, without in _NEEDED.items():
        if importlib.util.find_spec(name) is None:
            yield f"NO  package {name}: {without}"
            continue
        distribution = {"cv2": "opencv-python-headless"}.get(name, name)
        try:
            found.append(f"{distribution} {importlib.metadata.version(distribution)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(name)
    yield f"ok  packages: {', '.join(found)}"


def of_torch() -> Iterator[str]:
    """Yield whether torch has a GPU, and whether that works."""
    import torch

    yield f"ok  torch {torch.__version__}, CUDA {torch.version.cuda}"
    if torch.version.cuda is None:
        yield "NO  CUDA in torch: this is a build for the CPU; nothing of a GPU can be run"
    elif not torch.cuda.is_available():
        yield "NO  GPU for torch: is there a driver, new enough for this CUDA? nothing of a GPU can be run"
    else:
        name, capability = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
        product = (
            torch.ones((64, 64), dtype=torch.float16, device="cuda") @ torch.ones((64, 64), dtype=torch.float16).cuda()
        ).sum()
        is_right = float(product) == 64.0**3
        yield f"{'ok  ' if is_right else 'NO  '}GPU {name}, {capability[0]}.{capability[1]}: a product of matrices is right"


def of_the_driver() -> Iterator[str]:
    """Yield what nvidia-smi says."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,utilization.decoder", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
        yield f"ok  nvidia-smi: {said}"
    except (OSError, subprocess.SubprocessError) as error:
        yield f"NO  nvidia-smi: {error}; NVDEC's use is not told"


def of_libraries() -> Iterator[str]:
    """Yield which of the libraries can be loaded that FFmpeg and torchcodec load when they are asked for NVDEC."""
    wanted = {
        "libcuda.so.1": "FFmpeg and torchcodec do not find the driver",
        "libnvcuvid.so.1": "the driver was installed without its video part (a container wants the capability `video`): no NVDEC",
        "libnppicc.so": "torchcodec converts no colours on a GPU: its way fails",
        "libnvrtc.so": "torchcodec's CUDA build may not load",
    }
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder, "libraries")
        environment = os.environ | with_links(here)
        for name, without in wanted.items():
            names = sorted({name, *(path.name for path in here.glob(f"{name}*"))})
            why = ""
            for one in names:
                code = f"import ctypes; ctypes.CDLL({one!r})"
                done = subprocess.run(
                    [sys.executable, "-c", code],
                    capture_output=True,
                    text=True,
                    timeout=30,
                    check=False,
                    env=environment,
                )
                if done.returncode == 0:
                    yield f"ok  {one}"
                    break
                why = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1][:200]
            else:
                yield f"NO  {name}: {without} ({why})"


def of_pyav() -> Iterator[str]:
    """Yield whether PyAV's FFmpeg was built for NVDEC."""
    import av
    from av.codec import Codec
    from av.codec.hwaccel import hwdevices_available

    names = [
        name for name in ("h264", "hevc", "vp9", "av1") if any(_is_cuda(c) for c in Codec(name, "r").hardware_configs)
    ]
    has_cuda = "cuda" in hwdevices_available() and bool(names)
    yield f"{'ok  ' if has_cuda else 'NO  '}PyAV {av.__version__}: FFmpeg built with CUDA for {', '.join(names) or 'no codec'}"


def _is_cuda(config: object) -> bool:
    return "device_type=cuda" in repr(config)


def of_ways(device: str) -> Iterator[str]:
    """Yield what each way to decode makes of a clip; all at once, for importing torch takes longest."""
    running = {
        way: subprocess.Popen(
            [sys.executable, __file__, "--way", way, "--device", device],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for way in WAYS[device]
    }
    for way, process in running.items():
        try:
            output, error = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            yield f"NO  backend {way}: it hung for {_SECONDS} s"
            continue
        said = output.strip().splitlines()
        if process.returncode or not said:
            why = (error.strip().splitlines() or [""])[-1][:300]
            yield f"NO  backend {way}: it ended with {process.returncode}: {why}"
        else:
            yield said[-1]


def tried(way: str, device: str) -> str:
    """Decode a clip one way, twice, and hold it against the CPU."""
    sys.path[:0] = [str(ROOT), str(ROOT / "loaders"), str(ROOT / "tests")]
    from decode import the_clip

    from opens2v_data.errors import DecodeError
    from opens2v_loaders import decode

    data = the_clip(None)
    job = {"indices": range(0, 90, 10), "size": (480, 832), "full": (0,)}
    try:
        found = [decode(data, **job, backend=way, device=device) for _ in range(2)]  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    except (DecodeError, ValueError) as error:
        return f"NO  backend {way}: {error}"
    expected = decode(data, **job)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    levels = max(int((one.frames.cpu().int() - expected.frames.int()).abs().max()) for one in found)
    choice = found[-1].backend
    considered = "".join(f"; {name}: {why}" for name, why in choice.considered)
    return (
        f"{'ok  ' if levels <= 2 else 'NO  '}backend {way}: {choice.name}, {levels} levels from the CPU's{considered}"
    )


if __name__ == "__main__":
    main()
