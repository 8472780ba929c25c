"""Pack what a bare machine with a GPU lacks, for `gpu_day.py --packed`: wheels, two libraries, the release's sample.

    python benchmarks/gpu_pack.py gpu.tar --python 3.12 --torch 2.11
    python benchmarks/gpu_pack.py gpu.tar --python 3.12 --torch 2.11 --limit 58

For a machine that has torch built for CUDA, pytest, hypothesis, pyarrow and what else comes with such images, and reaches no
registry. Packed are PyAV (whose FFmpeg knows NVDEC), the torchcodec that goes with that torch, DuckDB and msgspec, and NPP's
two libraries for torchcodec's colours out of a wheel of 150 MB. pip fetches them, as it is set up here. The file is compressed
hard (48 MB instead of 63, in a minute), since what can be carried is often little; `--limit` refuses one that is larger, MiB.

torchcodec's wheels with CUDA are the registry's own; where pip is set up to take builds for the CPU first, patch versions are
tried that it has no such build of. Where there is none, this says so: torchcodec's way on a GPU is then left out there.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import lzma
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from measure import ROOT

# github.com/meta-pytorch/torchcodec, README: each goes with one minor version of torch.
TORCHCODEC_OF_TORCH = {"2.9": "0.9", "2.10": "0.10", "2.11": "0.11", "2.12": "0.12", "2.13": "0.13"}
PACKAGES = ["av", "duckdb", "msgspec"]  # in the versions installed here
_LIBRARIES = ("libnppicc.so", "libnppc.so")
_PLATFORMS = ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"]
_SAMPLE = ("Videos/dataset1/", "Jsons/mask_and_bbox/dataset1.json")  # what decoding needs of it


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--python", default="3.12", help="of the other machine (default: 3.12)")
    parser.add_argument("--torch", default="2.11", help="of the other machine (default: 2.11)")
    parser.add_argument("--limit", type=float, default=58.0, help="MiB that may be carried (default: 58)")
    parser.add_argument("--without-libraries", action="store_true", help="NPP is there")
    arguments = parser.parse_args()
    wanted = [f"{name}=={importlib.metadata.version(name)}" for name in PACKAGES]
    if (codec := TORCHCODEC_OF_TORCH.get(arguments.torch)) is None:
        print(f"no torchcodec is known for torch {arguments.torch}: none is packed", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        site, libraries = Path(folder, "site"), Path(folder, "libraries")
        wheels = [fetched(requirement, arguments.python, Path(folder)) for requirement in wanted]
        wheels += [torchcodec(codec, arguments.python, Path(folder))] if codec else []
        for path in wheels:
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(site)
        if not arguments.without_libraries:
            libraries.mkdir()
            with zipfile.ZipFile(fetched("nvidia-npp", arguments.python, Path(folder))) as wheel:
                for member in wheel.namelist():
                    name = member.rpartition("/")[2]
                    if name.startswith(_LIBRARIES):
                        (libraries / name).write_bytes(wheel.read(member))
        made = compressed(site, libraries)
    arguments.file.write_bytes(made)
    size = len(made) / 2**20
    print(f"{arguments.file}: {size:.1f} MiB")
    if size > arguments.limit:
        sys.exit(f"that is more than {arguments.limit:g} MiB: --without-libraries where NPP is there, or raise --limit")


def torchcodec(version: str, python: str, folder: Path) -> Path:
    """Return a wheel of torchcodec, one with CUDA if there is any."""
    found: list[Path] = []
    for patch in ("*", "0", "1"):
        try:
            found.append(fetched(f"torchcodec=={version}.{patch}", python, folder))
        except subprocess.CalledProcessError:
            continue
        with zipfile.ZipFile(found[-1]) as wheel:
            if b"+cpu" not in wheel.read("torchcodec/version.py"):
                return found[-1]
    if not found:
        raise SystemExit(f"pip finds no torchcodec {version} for Python {python}: leave it out with --torch none")
    print("torchcodec's wheels are builds for the CPU here: its way on a GPU will be left out", file=sys.stderr)
    return found[0]


def fetched(requirement: str, python: str, folder: Path) -> Path:
    """Let pip fetch a wheel for the other machine; return its place."""
    place = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", str(place)]
    command += ["--python-version", python, "--implementation", "cp", *(f"--platform={name}" for name in _PLATFORMS)]
    print(requirement, file=sys.stderr, flush=True)
    subprocess.run([*command, requirement], check=True)
    (wheel,) = place.iterdir()
    return wheel


def compressed(site: Path, libraries: Path) -> bytes:
    """Return a tar.xz of the packages, and of the release's sample where it is here."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT), str(ROOT / "loaders")]
    from loaders.real_sample import FOLDER

    made = io.BytesIO()
    # Preset 3 gives 47.8 MB in a minute, 6 gives 45 MB in four.
    with lzma.open(made, "wb", preset=3) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        tar.add(site, "site", filter=_plain)
        if libraries.is_dir():
            tar.add(libraries, "libraries", filter=_plain)
        if FOLDER.is_dir():
            for path in sorted(path for path in FOLDER.rglob("*") if path.is_file()):
                name = path.relative_to(FOLDER).as_posix()
                if name.startswith(_SAMPLE):
                    tar.add(path, f"release/{name}", filter=_plain)
            for path in sorted(FOLDER.with_name("eval").glob("videos/*.mp4")):
                tar.add(path, f"videos/{path.name}", filter=_plain)
        else:
            print("the release's sample is not here: a generated clip is measured", file=sys.stderr)
    return made.getvalue()


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if member.name.endswith((".pyi", ".pxd")):
        return None
    member.mode = 0o755 if member.isdir() else 0o644
    return member


if __name__ == "__main__":
    main()
