"""A stranger's SQL in a process of its own, for whoever is not the owner of this machine: it can be killed, and is.

The process (`opens2v_data.query.sandboxed`) answers as `SafeSql` does, and below that the kernel holds it: so much address space,
so much CPU time, few files, none written. It gets no environment, no open file and no folder of this process. What does not end
when told to is killed, and the next question gets a new process.

    parent ──▶ stdin    frame: setup, then one frame a question (JSON)
    parent ◀── stdout   frame: reply (JSON), and after one without a fault a frame: Arrow IPC stream
    frame               size, 8 bytes little-endian │ payload

On Linux. Elsewhere address space is not held, only DuckDB's own limit.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Self

import msgspec
import pyarrow as pa

from opens2v_data.archive.cache import CACHE_VARIABLE, default_cache_folder
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.lookup import find_catalog
from opens2v_data.errors import (
    CatalogDamagedError,
    CatalogNotFoundError,
    CatalogVersionError,
    Opens2vError,
    QueryError,
)
from opens2v_data.query.conditions import Query
from opens2v_data.query.safe import MAX_ANSWER_BYTES, MAX_ROWS, SECONDS, SafeAnswer, check_limits, needs_local_tables
from opens2v_data.query.vetting import check_text
from opens2v_data.query.views import names_categories

MEMORY_BYTES = 2 << 30
"""Address space of one question, beyond what the process has before it; DuckDB itself is told half of that."""

MIN_MEMORY_BYTES = 128 << 20
"""Less than this, and honest questions fail: a scan of clips in two threads takes some 60 MB."""

GRACE_SECONDS = 2.0
"""From being told to stop to being killed; also for the answer to come through the pipe."""

START_SECONDS = 60.0
"""For Python, DuckDB and Arrow to start: 0.6 s on an idle machine."""

_FRAME_BYTES = MAX_ANSWER_BYTES + (16 << 20)
_STDERR_BYTES = 4_096
_PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "HOME", "XDG_CACHE_HOME")
"""Of the environment: what Python may need to start, and what tells where derived tables lie."""


_sandboxes: weakref.WeakSet[Sandbox] = weakref.WeakSet()


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a process needs to start."""

    root: str
    memory_bytes: int
    threads: int | None
    category: str | None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One statement and what it may cost."""

    sql: str
    max_rows: int
    seconds: float


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a setup or a question.

    Attributes:
        fault: the name of its error; None: there is an answer.
        message: of the error.
        is_cut, seconds: of the answer.
        is_spent: so much address space stays taken that the next question wants a new process.
    """

    fault: str | None = None
    message: str = ""
    is_cut: bool = False
    seconds: float = 0.0
    is_spent: bool = False


FAULTS: dict[str, type[Opens2vError]] = {
    error.__name__: error for error in (QueryError, CatalogNotFoundError, CatalogVersionError, CatalogDamagedError)
}
"""What a process can raise here."""


class Sandbox:
    """Answer strangers' SQL in another process, which stays for the next question. One question at a time.

    Args:
        catalog_root: the catalog's folder; as `opens2v_data.open` finds it when None.
        memory_bytes: address space that a question may take.
        threads, category: see `SafeSql`.

    Raises:
        QueryError: the catalog lies on a server; the message has the command that copies it.
        CatalogNotFoundError: there is none.
        ValueError: memory_bytes is below `MIN_MEMORY_BYTES`.
    """

    def __init__(
        self,
        catalog_root: str | os.PathLike[str] | None = None,
        *,
        memory_bytes: int = MEMORY_BYTES,
        threads: int | None = None,
        category: str | None = None,
    ) -> None:
        if memory_bytes < MIN_MEMORY_BYTES:
            raise ValueError(f"memory_bytes must be at least {MIN_MEMORY_BYTES:,}, got {memory_bytes:,}")
        place = find_catalog(catalog_root)
        if isinstance(place, str):
            raise needs_local_tables(place)
        self._setup = Setup(
            root=str(place.absolute()),
            memory_bytes=memory_bytes,
            threads=threads,
            category=None if category is None else str(Path(category).absolute()),
        )
        self._has_categories = False
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        _sandboxes.add(self)

    def __repr__(self) -> str:
        return f"Sandbox({self._setup.root!r}, memory_bytes={self._setup.memory_bytes})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def process_id(self) -> int | None:
        """The process that waits for a question; None: the next question starts one."""
        return None if self._worker is None else self._worker.process_id

    def ask(self, sql: str, *, max_rows: int = MAX_ROWS, seconds: float = SECONDS) -> SafeAnswer:
        """Answer one statement, see `SafeSql.ask`; killed where that cannot stop it.

        Raises:
            QueryError: as `SafeSql.ask`, or the process was killed or ended by itself.
            CatalogDamagedError, CatalogNotFoundError, CatalogVersionError: the catalog cannot be opened or read.
            ValueError: a limit is not above 0, or seconds has no end.
        """
        check_limits(max_rows=max_rows, seconds=seconds)
        check_text(sql)
        with self._lock:
            if not self._has_categories and names_categories(sql):
                self._build_categories()
            worker = self._started()
            try:
                return worker.ask(Question(sql=sql, max_rows=max_rows, seconds=seconds))
            except TimeoutError as error:
                raise QueryError(
                    f"expected an answer within {seconds:g} s, found none, and the statement did not heed being told to "
                    "stop: its process was ended; ask for fewer rows, shorter texts and lists, or allow more seconds"
                ) from error
            except EOFError as error:
                raise QueryError(
                    f"the process that answers this statement ended ({error}): it needed more than "
                    f"{self._setup.memory_bytes:,} bytes of memory, or DuckDB failed at it; ask for less at once"
                ) from error
            finally:
                if not worker.is_ready:
                    self._end()

    def close(self) -> None:
        """End the process; a later question starts another."""
        with self._lock:
            self._end()

    def _build_categories(self) -> None:
        """Work out the categories of clips here, since the process may write no file; it finds them."""
        query = Query(Catalog.open(self._setup.root), category=self._setup.category)
        if not query.find_categories():
            query.build_categories()
        self._has_categories = True

    def _started(self) -> _Worker:
        if self._worker is not None and self._worker.has_ended():
            self._end()
        if self._worker is None:
            worker = _Worker()
            try:
                worker.set_up(self._setup)
            except BaseException as error:
                worker.end()
                if isinstance(error, TimeoutError):
                    raise QueryError(
                        f"a process for safe SQL did not start within {START_SECONDS:g} s; try again"
                    ) from error
                if isinstance(error, EOFError):
                    raise QueryError(f"a process for safe SQL could not start: {error}") from error
                raise
            self._worker = worker
        return self._worker

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def _after_fork(self) -> None:
        # The process goes on answering the one that this was forked from, which may have held the lock.
        self._lock, self._worker = threading.Lock(), None


def ask_in_process(
    catalog_root: str | os.PathLike[str] | None,
    sql: str,
    *,
    max_rows: int = MAX_ROWS,
    seconds: float = SECONDS,
    memory_bytes: int = MEMORY_BYTES,
    category: str | None = None,
) -> SafeAnswer:
    """Answer one statement in a process that is started for it, which costs half a second; see `Sandbox`.

    Raises:
        QueryError, CatalogDamagedError, CatalogNotFoundError, CatalogVersionError, ValueError: as `Sandbox.ask`.
    """
    with Sandbox(catalog_root, memory_bytes=memory_bytes, category=category) as sandbox:
        return sandbox.ask(sql, max_rows=max_rows, seconds=seconds)


class _Worker:
    """One process.

    Attributes:
        is_ready: it waits for a question; False also while something is under way, or after it failed.
        process_id: of it.
    """

    def __init__(self) -> None:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        if CACHE_VARIABLE in os.environ:
            environment[CACHE_VARIABLE] = str(default_cache_folder().absolute())
        environment |= {
            # Where this process finds its packages: a checkout, an environment, a wheel.
            "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path if path),  # noqa: PTH100
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1",
            # Address space is what is limited, and these reserve it by the gigabyte.
            "ARROW_DEFAULT_MEMORY_POOL": "system",
            "MALLOC_ARENA_MAX": "2",
            # Blocks from 1 MiB on are given back when freed, rather than kept in an arena.
            "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
            "OPENBLAS_NUM_THREADS": "1",
        }
        self.is_ready = False
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "opens2v_data.query.sandboxed"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environment,
            cwd=os.sep,
            start_new_session=True,
        )
        self.process_id = self._process.pid
        self._finalizer = weakref.finalize(self, _kill, self._process, os.getpid())

    def has_ended(self) -> bool:
        """Say whether it is gone, whoever ended it."""
        return self._process.poll() is not None

    def set_up(self, setup: Setup) -> None:
        """Have it open the catalog.

        Raises:
            Opens2vError: what it met.
            EOFError: it ended.
            TimeoutError: it did not answer in time.
        """
        deadline = time.monotonic() + START_SECONDS
        self._send(setup, deadline)
        _raise_fault(self._reply(deadline))
        self.is_ready = True

    def ask(self, question: Question) -> SafeAnswer:
        """Have it answer a question.

        Raises:
            Opens2vError, EOFError, TimeoutError: as `set_up`; after the latter two it is not ready any more.
        """
        self.is_ready = False
        deadline = time.monotonic() + question.seconds + GRACE_SECONDS
        self._send(question, deadline)
        reply = self._reply(deadline)
        data = b"" if reply.fault is not None else self._receive(deadline)
        self.is_ready = not reply.is_spent
        _raise_fault(reply)
        try:
            table = pa.ipc.open_stream(data).read_all()
            table.validate(full=True)
        except pa.ArrowException as error:
            self.is_ready = False
            raise EOFError(f"what it wrote is no answer: {error}") from error
        return SafeAnswer(table=table, is_cut=reply.is_cut, seconds=reply.seconds)

    def end(self) -> None:
        """Kill it with its process group, and wait for it."""
        self.is_ready = False
        self._finalizer()

    def _send(self, message: Setup | Question, deadline: float) -> None:
        payload = msgspec.json.encode(message)
        waiting = memoryview(len(payload).to_bytes(8, "little") + payload)
        stream = self._process.stdin
        assert stream is not None
        while waiting:
            self._wait(stream.fileno(), selectors.EVENT_WRITE, deadline)
            try:
                # At most so much fits without waiting for a reader that may never read.
                waiting = waiting[os.write(stream.fileno(), waiting[:4_096]) :]
            except BrokenPipeError as error:
                raise EOFError(self._last_words()) from error

    def _reply(self, deadline: float) -> Reply:
        return msgspec.json.decode(self._receive(deadline), type=Reply)

    def _receive(self, deadline: float) -> bytes:
        size = int.from_bytes(self._read(8, deadline), "little")
        if size > _FRAME_BYTES:
            raise EOFError(f"it wrote {size:,} bytes, at most {_FRAME_BYTES:,} are read")
        return self._read(size, deadline)

    def _read(self, size: int, deadline: float) -> bytes:
        stream = self._process.stdout
        assert stream is not None
        data = bytearray()
        while len(data) < size:
            self._wait(stream.fileno(), selectors.EVENT_READ, deadline)
            found = os.read(stream.fileno(), min(size - len(data), 1 << 20))
            if not found:
                raise EOFError(self._last_words())
            data += found
        return bytes(data)

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, event)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError

    def _last_words(self) -> str:
        """Return how it ended."""
        try:
            code = self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        if code < 0:
            return signal.Signals(-code).name
        stream = self._process.stderr
        assert stream is not None
        words = stream.read(_STDERR_BYTES).decode(errors="replace").strip()
        return f"exit status {code}" + (f", {words.splitlines()[-1]}" if words else "")


def _raise_fault(reply: Reply) -> None:
    if reply.fault is not None:
        raise FAULTS.get(reply.fault, QueryError)(reply.message)


def _kill(process: subprocess.Popen[bytes], owner: int) -> None:
    """End a process with its group; not from a process that was forked since."""
    if os.getpid() != owner:
        return
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _after_fork() -> None:
    for sandbox in list(_sandboxes):
        sandbox._after_fork()


os.register_at_fork(after_in_child=_after_fork)
