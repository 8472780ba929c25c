"""Shared libraries under the names that torchcodec and FFmpeg look for, where packages hide them under others.

PyAV's wheel carries FFmpeg as `libavcodec-5e6b81c2.so.62.28.102`; torchcodec wants `libavcodec.so.62`. Its CUDA builds also want
NPP and NVRTC, which pip puts into `nvidia/*/lib` and CUDA's toolkit into its own folder; FFmpeg wants the driver's NVDEC.
A folder of links that stands first in LD_LIBRARY_PATH gives all of them. Nothing is imported: a library may be broken.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

# What torchcodec's and FFmpeg's CUDA halves load; the toolkit's numbers go with torch's CUDA.
NVIDIA = ("libnppicc.so", "libnppc.so", "libnvrtc.so", "libnvcuvid.so", "libcuda.so")
_SYSTEM = (
    "/usr/local/cuda/lib64",
    "/usr/local/cuda/targets/x86_64-linux/lib",
    "/usr/local/nvidia/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
)


def link(folder: Path, others: Sequence[Path] = ()) -> Path:
    """Make the folder of links, and return it; what is nowhere to be found has none.

    Args:
        others: folders where NVIDIA's libraries may be, looked at first.
    """
    folder.mkdir(parents=True)
    for name, path in [*_of_pyav(), *_of_nvidia(others)]:
        place = folder / name
        if not place.is_symlink():
            place.symlink_to(path)
    return folder


def with_links(folder: Path, others: Sequence[Path] = ()) -> dict[str, str]:
    """Return the environment variables of a process that is to find them; makes the folder, see `link`."""
    paths = [str(link(folder, others)), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    return {"LD_LIBRARY_PATH": os.pathsep.join(paths)}


def _of_pyav() -> Iterator[tuple[str, Path]]:
    for package in _folders_of("av"):
        for path in package.parent.joinpath("av.libs").glob("lib*.so*"):
            yield path.name, path  # they look for each other beside the link, not beside the file
            if found := re.fullmatch(r"(lib(?:av|sw)\w+)-[0-9a-f]{8}\.so\.(\d+)[\d.]*", path.name):
                yield f"{found[1]}.so.{found[2]}", path


def _of_nvidia(others: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    folders = [*others]
    folders += [place for package in _folders_of("nvidia") for place in sorted(package.glob("*/lib"))]
    for place in [*folders, *map(Path, _SYSTEM)]:
        for name in NVIDIA:
            for path in sorted(place.glob(f"{name}*")):
                # `libnvrtc.so.13` and not `libnvrtc.so.13.0.48`, which no program asks for.
                if re.fullmatch(re.escape(name) + r"(\.\d+)?", path.name):
                    yield path.name, path


def _folders_of(package: str) -> list[Path]:
    found = importlib.util.find_spec(package)
    return [Path(place) for place in (found.submodule_search_locations or ())] if found else []
