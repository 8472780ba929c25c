"""What only a GPU can tell, in one command that ends within nine minutes: for one that is lent for a quarter of an hour.

    python benchmarks/gpu_day.py results                           # with what is installed
    python benchmarks/gpu_day.py rehearsal --device cpu            # every step, small, where there is no GPU
    python3 benchmarks/gpu_day.py results --packed gpu.tar         # on a bare machine: see `gpu_pack.py`
    python benchmarks/gpu_day.py results --steps facts tests       # some of it

Steps come in this order, each in a process of its own, under a limit of its own and what is left of `--budget`:

    facts    driver, torch, FFmpeg, NVDEC, torchcodec's libraries; each way to decode tried on one clip, by itself
    decode   `decode_gpu.py`: the rows that the targets are about
    tests    `tests/loaders/test_gpu.py`
    loader   `loader.py`
    more     `decode_gpu.py`: other numbers of threads and processes
    eval     `eval.py`: metrics whose models of published size are written in seconds

What a step says goes to `NAME.txt` in the folder while it says it, what became of it to `report.json` after each step, and
the tests' results to `tests.xml`: eight files, and whoever stops this keeps all that was there. A step that fails, hangs or
crashes is told in a line, and the next one begins; where there is no GPU at all, none does. The exit code is 1 where a step
failed or a target was missed.

Nothing but the standard library is needed to begin.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from shared_libraries import with_links

ROOT = Path(__file__).resolve().parents[1]
_LEAST_SECONDS = 20.0  # a step that has less is not begun: importing torch takes ten
_NO_GPU = "nothing of a GPU can be run"  # as `gpu_facts.py` says it
ROWS = ["auto:1:16", "torchcodec-nvdec:1:16", "pyav-nvdec:4:4", "cpu:{cores}:1", "pyav-nvdec:1:16", "pyav-upload:1:16"]
MORE_ROWS = ["torchcodec-nvdec:4:4", "pyav-nvdec:8:2", "auto:4:4", "pyav-nvdec:1:4", "pyav:1:16", "auto:1:1"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to run.

    Attributes:
        name: of its file.
        limit_seconds: after which it is ended.
        arguments: of Python.
    """

    name: str
    limit_seconds: float
    arguments: list[str]


@dataclass(kw_only=True)
class Outcome:
    """What became of a step.

    Attributes:
        name: of the step.
        seconds: it took.
        words: in a line.
        is_good: whether it ended as it should.
        lines: of its output that belong into the report.
    """

    name: str
    seconds: float
    words: str
    is_good: bool
    lines: list[str]


def main() -> None:
    """Run the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where results are written")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--budget", type=float, default=520.0, help="seconds, unpacking included (default: 520)")
    parser.add_argument(
        "--patience", type=float, default=1.0, help="times every limit, for a slow machine (default: 1)"
    )
    parser.add_argument("--packed", type=Path, help="what `gpu_pack.py` wrote")
    parser.add_argument("--steps", nargs="+", default=["facts", "decode", "tests", "loader", "more", "eval"])
    arguments = parser.parse_args()
    begun, folder = time.monotonic(), arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="opens2v-gpu-") as scratch:
        paths = unpacked(arguments.packed, Path(scratch, "packed")) if arguments.packed else []
        sys.path[:0] = paths  # packages are looked for there, too
        environment = environment_of(paths, Path(scratch))
        outcomes, text = list[Outcome](), "no step was chosen"
        videos = sorted(Path(scratch).glob("packed/videos/*.mp4"))
        for step in steps_of(arguments.device, folder, videos, arguments.patience):
            if step.name not in arguments.steps:
                continue
            left = arguments.budget * arguments.patience - (time.monotonic() - begun)
            why = "no time left" if left < _LEAST_SECONDS else ""
            if arguments.device == "cuda" and any(_NO_GPU in line for outcome in outcomes for line in outcome.lines):
                why = "no GPU"
            if why:
                words = f"not begun: {why}"
                outcomes.append(Outcome(name=step.name, seconds=0, words=words, is_good=False, lines=[]))
            else:
                outcomes.append(run(step, min(step.limit_seconds, left), folder, environment))
            text = report(outcomes, folder, time.monotonic() - begun)
    print(text, flush=True)
    sys.exit(0 if all(outcome.is_good for outcome in outcomes) else 1)


def unpacked(packed: Path, folder: Path) -> list[str]:
    """Unpack what `gpu_pack.py` wrote; return what belongs into sys.path."""
    with tarfile.open(packed) as tar:
        tar.extractall(folder, filter="data")
    return [str(folder / "site")]


def environment_of(paths: list[str], scratch: Path) -> dict[str, str]:
    """Return the variables that all steps run with."""
    sample = scratch / "packed" / "release"
    known = [*paths, *(str(ROOT / room) for room in ("", "loaders", "evaluation", "tests", "benchmarks"))]
    given = os.environ.get("PYTHONPATH", "")
    return {
        **os.environ,
        **with_links(scratch / "libraries", [scratch / "packed" / "libraries"]),
        **({"OPENS2V_REAL_RELEASE": str(sample)} if sample.is_dir() else {}),
        "PYTHONPATH": os.pathsep.join([*known, *filter(None, [given])]),
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        "XDG_CACHE_HOME": str(scratch / "cache"),
    }


def steps_of(device: str, folder: Path, videos: list[Path], patience: float) -> Iterator[Step]:
    """Yield the steps, in order; the evaluation's videos are its own unless given."""
    bench, cores = ROOT / "benchmarks", os.cpu_count() or 1
    is_gpu = device == "cuda"

    def step(name: str, limit: float, *arguments: str) -> Step:
        return Step(name=name, limit_seconds=limit * patience, arguments=list(arguments))

    def decoding(name: str, rows: list[str], limit: float) -> Step:
        rows = [row.format(cores=cores) for row in (rows if is_gpu else ["cpu:{cores}:1"])]
        options = ["--seconds", "5" if is_gpu else "2", "--seconds-in-all", str(limit * patience - 5), "--rows", *rows]
        options += ["--seconds-to-warm", str(40 * patience)]
        return step(name, limit, str(bench / "decode_gpu.py"), *options)

    yield step("facts", 60, str(bench / "gpu_facts.py"), "--device", device)
    yield decoding("decode", ROWS, 130)
    # Several at once, so that one that crashes the interpreter takes no others with it.
    workers = ["-n", str(min(6, cores)), "--dist", "load"] if importlib.util.find_spec("xdist") else []
    options = ["-q", "-p", "no:cacheprovider", f"--junitxml={folder / 'tests.xml'}", "--durations=5"]
    tests = str(ROOT / "tests" / "loaders" / "test_gpu.py")
    yield step("tests", 120, "-m", "pytest", tests, *options, *workers)
    amount = ["--clips", "96", "--batch", "8"] if is_gpu else ["--clips", "4", "--batch", "2"]
    loader = [str(bench / "loader.py"), "--device", device, *amount, "--workers", str(cores), "--runs", "1"]
    yield step("loader", 70, *loader, "--only", "ClipLoader", "DataLoader, ours")
    if is_gpu:
        yield decoding("more", MORE_ROWS, 110)
    size = ["--size", "published" if is_gpu else "small", "--metrics", "aesthetics", *(["facesim"] if is_gpu else [])]
    evaluation = [str(bench / "eval.py"), "--device", device, "--runs", "1", "--no-frames", *size]
    evaluation += ["--videos", *map(str, videos)] if videos else []
    yield step("eval", 110, *evaluation)


def run(step: Step, limit: float, folder: Path, environment: dict[str, str]) -> Outcome:
    """Run a step, its output going to a file as it comes."""
    path, begun = folder / f"{step.name}.txt", time.monotonic()
    with path.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *step.arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=ROOT,
            start_new_session=True,  # with its own children, so that all of them can be ended
        )
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    seconds, lines = time.monotonic() - begun, path.read_text(errors="replace").splitlines()
    said = [line for line in lines if line.strip()]
    kept = [
        line
        for line in lines
        if line.startswith(("| ", "met   ", "MISSED", "ok  ", "NO  ", "best:", "in use", "FAILED"))
    ]
    if step.name == "tests":
        kept += test_counts(folder / "tests.xml")
    is_missed = any(line.startswith(("MISSED", "NO  ")) for line in kept)
    if code is None:
        words = f"ended after its {limit:.0f} s; the last it said: {said[-1][:200] if said else 'nothing'}"
    elif code:
        words = f"failed ({code if code > 0 else signal.Signals(-code).name}): {said[-1][:300] if said else 'nothing was said'}"
    else:
        words = "something is missing or missed" if is_missed else "good"
    print(f"{step.name}: {words} ({seconds:.0f} s)", flush=True)
    return Outcome(name=step.name, seconds=seconds, words=words, is_good=code == 0 and not is_missed, lines=kept)


def test_counts(path: Path) -> list[str]:
    """Return how many tests passed, failed and were skipped; nothing where they were ended before."""
    if not path.exists():
        return []
    counts: dict[str, int] = {"passed": 0, "failure": 0, "error": 0, "skipped": 0}
    for case in ElementTree.parse(path).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in counts]
        counts[kinds[0] if kinds else "passed"] += 1
    return ["tests: " + ", ".join(f"{count} {what}" for what, count in counts.items())]


def report(outcomes: list[Outcome], folder: Path, seconds: float) -> str:
    """Write what is known so far, and return it as text."""
    made = folder / "report.json.part"
    made.write_text(json.dumps([vars(outcome) for outcome in outcomes], indent=1))
    made.replace(folder / "report.json")
    text = [f"{seconds:.0f} s so far", ""]
    for outcome in outcomes:
        text += [f"## {outcome.name}: {outcome.words} ({outcome.seconds:.0f} s)", *outcome.lines, ""]
    return "\n".join(text)


if __name__ == "__main__":
    main()
