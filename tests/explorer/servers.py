"""`opens2v explore` in a process of its own, as a terminal starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 180


@dataclass(kw_only=True)
class Server:
    """A running explorer.

    Attributes:
        url: where it answers, without a slash at the end.
        verdicts_path: its file of verdicts.
        process: what to signal.
        lines: what it has said on stderr so far.
    """

    url: str
    verdicts_path: Path
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The port."""
        return int(self.url.rpartition(":")[2])

    def stop(self, number: int = signal.SIGINT) -> int:
        """End it; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def start(root: Path, folder: Path, *options: object) -> Server:
    """Start the explorer of a catalog on a free port, and wait until it answers.

    Args:
        root: of the catalog.
        folder: for its pictures and verdicts.
        options: further ones of the command line.
    """
    verdicts_path = folder / "verdicts.sqlite"
    command = [sys.executable, "-m", "opens2v_data.cli", "explore", str(root), "--no-browser"]
    command += ["--port", "0", "--verdicts", str(verdicts_path), "--reviewer", "tester", *map(str, options)]
    # A settings file or variable of the tester's own says nothing here.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLIT_")}
    environment |= {"XDG_CACHE_HOME": str(folder / "cache"), "HOME": str(folder)}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    server = Server(url="", verdicts_path=verdicts_path, process=process)
    ready = threading.Event()

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            server.lines.append(line.rstrip("\n"))
            if not server.url and (found := re.search(r"is at (http://\S+)", line)):
                server.url = found[1]
                ready.set()
        ready.set()

    threading.Thread(target=listen, daemon=True).start()
    if not ready.wait(START_SECONDS) or not server.url:
        process.kill()
        raise RuntimeError(f"the explorer did not start: {server.lines}")
    return server
