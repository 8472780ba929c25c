"""Commands in a process of their own, as a terminal starts them."""

from __future__ import annotations

import os
import subprocess
import sys

MODULE = (sys.executable, "-m", "opens2v_data.cli")


def environment() -> dict[str, str]:
    """Return the environment with Python's own buffering, as users have it."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command and wait for it."""
    command = [*MODULE, *(str(argument) for argument in arguments)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=250)
