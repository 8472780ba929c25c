"""The process of a `Sandbox`: `python -m opens2v_data.query.sandboxed`. Reads questions from stdin, writes answers to stdout.

It limits itself before it reads any question, and ends when its stdin does.
"""

from __future__ import annotations

import os
import queue
import resource
import sys
import threading
from pathlib import Path

import msgspec
import pyarrow as pa

from opens2v_data.catalog.catalog import Catalog
from opens2v_data.errors import Opens2vError
from opens2v_data.query.safe import SafeAnswer, SafeSql
from opens2v_data.query.sandbox import FAULTS, Question, Reply, Setup

MAX_FILES = 128
"""Open at once: a scan opens its file once a thread."""

CPU_GRACE_SECONDS = 5
"""Beyond what a question's threads can use in its seconds; a parent that was killed does not kill any more."""


def main() -> None:
    """Answer until stdin ends."""
    replies = os.dup(1)
    os.dup2(2, 1)  # what a library prints does not reach the parent as an answer
    frames: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_frames, args=(frames,), daemon=True).start()
    setup = msgspec.json.decode(frames.get(), type=Setup)
    _limit_files()
    try:
        safe = SafeSql(
            Catalog.open(Path(setup.root)), threads=setup.threads, memory_limit=f"{setup.memory_bytes >> 21}MiB"
        )
        safe.ask("SELECT count(*), max(hash(clip_id)) FROM clips")  # its threads start, and take what they always take
    except Opens2vError as error:
        _write(replies, msgspec.json.encode(_fault(error)))
        return
    spent_bytes = _taken_bytes() + setup.memory_bytes // 2
    _limit_memory(setup.memory_bytes)
    _write(replies, msgspec.json.encode(Reply()))
    while True:
        question = msgspec.json.decode(frames.get(), type=Question)
        _limit_cpu(question.seconds * safe.threads)
        try:
            answer = safe.ask(question.sql, max_rows=question.max_rows, seconds=question.seconds)
        except Opens2vError as error:
            reply, data = _fault(error), None
        else:
            reply, data = Reply(is_cut=answer.is_cut, seconds=answer.seconds), _stream(answer)
            del answer
        _write(replies, msgspec.json.encode(msgspec.structs.replace(reply, is_spent=_taken_bytes() > spent_bytes)))
        if data is not None:
            _write(replies, data)
        del data


def _fault(error: Opens2vError) -> Reply:
    kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__name__ in FAULTS]
    return Reply(fault=kinds[0] if kinds else "QueryError", message=str(error))


def _stream(answer: SafeAnswer) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, answer.table.schema) as writer:
        writer.write_table(answer.table)
    return sink.getvalue()


def _read_frames(frames: queue.SimpleQueue[bytes]) -> None:
    while (head := _read(8)) and (payload := _read(int.from_bytes(head, "little"))):
        frames.put(payload)
    # Whatever the other thread is busy with: nobody waits for it.
    os._exit(0)


def _read(size: int) -> bytes:
    """Return so many bytes of stdin; none where it ends."""
    data = bytearray()
    while len(data) < size:
        if not (found := os.read(0, size - len(data))):
            return b""
        data += found
    return bytes(data)


def _write(descriptor: int, data: bytes | pa.Buffer) -> None:
    for piece in (len(data).to_bytes(8, "little"), data):
        waiting = memoryview(piece)
        while waiting:
            waiting = waiting[os.write(descriptor, waiting) :]


def _limit_files() -> None:
    # A pipe is no file: answers are written all the same.
    for kind, most in (
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, MAX_FILES),
    ):
        resource.setrlimit(kind, (most, most))


def _limit_memory(memory_bytes: int) -> None:
    if sys.platform == "linux":
        most = _taken_bytes() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _taken_bytes() -> int:
    """Return how much address space this process has; 0 where that is not told."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def _limit_cpu(seconds: float) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + CPU_GRACE_SECONDS
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


if __name__ == "__main__":
    main()
