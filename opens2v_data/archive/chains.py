"""The members of a part's tar, found by many walks at once: for stores where a request takes long and many may be under way.

A walk knows where the next header is only when it has read this one: at 20 ms a request that is 50 members a second, and 30 hours
for the release's 5.4 million. `ChainScan` walks from hundreds of places at once and gives what `MemberScan` gives, member by
member; `chainmap` has the rules by which the chains are trusted.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opens2v_data.archive.chainlog import ChainLog
from opens2v_data.archive.chainmap import Chain, ChainMap
from opens2v_data.archive.daemons import DaemonPool
from opens2v_data.archive.members import Member, Refused, fold, members_of
from opens2v_data.archive.parts import PartReader
from opens2v_data.archive.readahead import ReadAhead
from opens2v_data.archive.tarheader import BLOCK_BYTES
from opens2v_data.archive.tarwalk import HEAD_BYTES, Element, WalkEnd
from opens2v_data.errors import ArchiveError, RemoteError
from opens2v_data.waiting import results_of, uncut

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from opens2v_data.archive.index import Progress
    from opens2v_data.archive.parts import Part
    from opens2v_data.archive.stores import Store

_PROGRESS_EVERY_BYTES = 1 << 24
_WAIT_SECONDS = 0.1  # how often members are given while chains run
_JOIN_SECONDS = 1.0  # for requests under way when the scan ends; their threads are daemons, and may sleep for minutes
_MAX_GROUP_BYTES = 1 << 14
_MAX_SIZE_CHECKS = 32


@dataclass(frozen=True, kw_only=True)
class ChainOptions:
    """How a tar is walked from many places at once.

    The defaults are for members of about 2 MB: finding a chain's first header takes about three requests of half a megabyte,
    so chains are kept long enough for that to stay below a tenth of their requests. While all chains look for one, the bytes
    they hold are `max_chains` times `scan_bytes`: 128 MiB.

    Attributes:
        max_chains: chains walked at once, a thread and a request each. When one ends, the largest gap left is split.
        min_chain_requests: requests that a chain should have before it; gaps that hold fewer than twice as many stay whole.
        min_chain_bytes: the same in bytes of the tar; None takes `min_chain_requests` times the bytes between requests.
        probe_requests: requests of the first chain, alone, to learn the bytes between requests.
        scan_bytes: how much is asked for at once when looking for a header; a multiple of 512.
        save_seconds: how often what was found is added to the log.
        max_retries: how often one request is made again after an error that may pass. The Hub store has its own retries
            beneath.
        backoff_seconds: before the first of them; doubled for each, up to a minute.
    """

    max_chains: int = 256
    min_chain_requests: int = 32
    min_chain_bytes: int | None = None
    probe_requests: int = 16
    scan_bytes: int = 1 << 19
    save_seconds: float = 2.0
    max_retries: int = 4
    backoff_seconds: float = 0.5

    def __post_init__(self) -> None:
        for name, least in (("max_chains", 1), ("min_chain_requests", 1), ("probe_requests", 0), ("max_retries", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.min_chain_bytes is not None and self.min_chain_bytes < 1:
            raise ValueError(f"min_chain_bytes must be at least 1, got {self.min_chain_bytes}")
        if self.scan_bytes < BLOCK_BYTES or self.scan_bytes % BLOCK_BYTES:
            raise ValueError(f"scan_bytes must be a multiple of {BLOCK_BYTES}, got {self.scan_bytes}")
        if self.save_seconds <= 0 or self.backoff_seconds < 0:
            raise ValueError(
                "save_seconds must be positive and backoff_seconds not negative, "
                f"got {self.save_seconds} and {self.backoff_seconds}"
            )


@dataclass(frozen=True, kw_only=True)
class ChainStats:
    """What a scan took so far.

    Attributes:
        num_requests: ranges asked of the store, repetitions included; two where a range lies across two pieces.
        num_bytes: bytes those gave.
        num_retries: requests made again.
        num_chains: chains that found a first header, that from byte 0 included.
        num_barren_scans: places where none was found.
        num_false_starts: chains that the walk from byte 0 does not lead to. Complete when the scan has ended.
        num_repaired_bytes: bytes of the tar that were walked in vain: by those, and by others before the place where a trusted
            chain met them (their first header was that of a long name's file, say).
        num_resumed_elements: elements that came from the log.
    """

    num_requests: int
    num_bytes: int
    num_retries: int
    num_chains: int
    num_barren_scans: int
    num_false_starts: int
    num_repaired_bytes: int
    num_resumed_elements: int


class ChainScan:
    """The members of a part's tar one after another, as `MemberScan` gives them, over a store where requests take long.

        scan = ChainScan(store, part, log=Path("total_part1.chains"), origin=store.uri)
        for member in scan: ...
        scan.refused, scan.skipped_by_kind, scan.end, scan.stats

    Members come in the order of the tar, each once all before it are sure. Leaving the loop, or an exception of `progress`, stops
    the scan; so does an error that does not pass. With a log, a later scan goes on from there, also after `kill -9`. The log
    stays when the scan has ended; remove it once the members are safe.

    Iterating anew starts anew (from the log, if there is one); not from two threads at once.

    Args:
        store: where the part's pieces lie, safe to call from threads; all pieces are checked for their recorded size first.
        part: of layout "split-tar" or "tar".
        options: how many chains, how long, how patient.
        log: file to keep what was found in; None keeps nothing.
        origin: which upload the part is of, e.g. `HubStore.uri` with its commit; a log of another one is refused.
        progress: called in the iterating thread every few megabytes and at the end, with bytes passed by chains.

    Attributes:
        refused: files so far whose names must not be used.
        skipped_by_kind: directories, links and so on so far.
        end: how the walk ended; None until it has.
    """

    def __init__(
        self,
        store: Store,
        part: Part,
        *,
        options: ChainOptions | None = None,
        log: Path | None = None,
        origin: str = "",
        progress: Progress | None = None,
    ) -> None:
        if part.layout == "files":
            raise ValueError(f"part {part.name} holds unpacked files, not a tar; use index_files")
        self.part = part
        self.options = options or ChainOptions()
        self._store = store
        self._log = log
        self._origin = origin
        self._progress = progress
        self._clear()

    @property
    def stats(self) -> ChainStats:
        """What the scan took so far."""
        chains = self._map
        num_false_starts, num_repaired_bytes = chains.false_starts()
        return ChainStats(
            num_requests=chains.num_requests,
            num_bytes=chains.num_bytes,
            num_retries=self._num_retries,
            num_chains=sum(chain.first is not None for chain in list(chains.chains)),
            num_barren_scans=chains.num_barren_scans,
            num_false_starts=num_false_starts,
            num_repaired_bytes=num_repaired_bytes,
            num_resumed_elements=chains.num_resumed_elements,
        )

    def __iter__(self) -> Iterator[Member]:
        """Yield the members in the order of the tar.

        Raises:
            TarFormatError: a header that is no tar header, or a sparse file; members before it were given.
            MissingPieceError: a piece is not there or has another size than recorded.
            RemoteError: the server did not give bytes, however often it was asked.
            ArchiveError: the log is of another upload, in use, or cannot be written.
        """
        self._clear()
        log = None if self._log is None else ChainLog(self._log, self.part, origin=self._origin)
        try:
            if log is not None:
                try:
                    self._map.start(log.take())
                except ValueError as error:
                    raise ArchiveError(f"log {self._log} is damaged: {error}; remove it and start anew") from error
            else:
                self._map.start()
            reader = PartReader(self._store, self.part)
            self._check_pieces(reader)
            crew = _Crew(self._map, reader, self.options, log)
            try:
                yield from members_of(
                    fold(self._trusted(crew), where=self.part.where),
                    refused=self.refused,
                    skipped_by_kind=self.skipped_by_kind,
                )
            finally:
                self._num_retries = crew.num_retries
                crew.stop()
        finally:
            if log is not None:
                log.close()

    def _check_pieces(self, reader: PartReader) -> None:
        # One after another takes seconds over HTTP; stores there remember sizes, so asking first in threads is enough.
        paths = [piece.path for piece in self.part.pieces]

        def ask(path: str) -> None:
            try:
                self._store.size(path)
            except ArchiveError:
                return  # said below, with the place

        if len(paths) > 1:
            with DaemonPool(min(_MAX_SIZE_CHECKS, len(paths)), name="opens2v-chains-sizes") as pool:
                results_of([pool.submit(ask, path) for path in paths])
        reader.check_pieces()

    def _trusted(self, crew: _Crew) -> Generator[Element, None, None]:
        """Have the chains walked, and give the elements that are sure."""
        chains = self._map

        def wait(chain: Chain, num_groups: int) -> None:
            if crew.failure:
                raise crew.failure
            with chains.changed:
                if chains.is_stuck(chain, num_groups) and not crew.failure:
                    chains.changed.wait(_WAIT_SECONDS)
            self._report()

        crew.launch()
        self.end = yield from chains.trusted(wait)
        self._report(is_end=True)

    def _report(self, *, is_end: bool = False) -> None:
        total_bytes = self.part.size_bytes
        done = total_bytes if is_end else min(self._map.walked_bytes, total_bytes)
        if self._progress and (is_end or done - self._reported >= _PROGRESS_EVERY_BYTES):
            self._reported = done
            self._progress(done, total_bytes)

    def _clear(self) -> None:
        self.refused: list[Refused] = []
        self.skipped_by_kind: Counter[str] = Counter()
        self.end: WalkEnd | None = None
        self._reported = 0
        self._num_retries = 0
        self._map = ChainMap(
            self.part,
            scan_bytes=self.options.scan_bytes,
            min_chain_bytes=self.options.min_chain_bytes,
            min_chain_requests=self.options.min_chain_requests,
            probe_requests=self.options.probe_requests,
        )


class _Crew:
    """The threads of one scan: a worker per chain that is being walked, and one that saves.

    Attributes:
        failure: the first error that ends the scan.
        num_retries: requests made again.
    """

    def __init__(self, chains: ChainMap, reader: PartReader, options: ChainOptions, log: ChainLog | None) -> None:
        self.failure: BaseException | None = None
        self.num_retries = 0
        self._map = chains
        self._reader = reader
        self._options = options
        self._log = log
        self._saved = {chain.number: len(chain.groups) for chain in chains.chains}
        self._stopped = threading.Event()
        self._spreading = threading.Lock()
        self._spread_at = 0  # requests after which to look for work for more chains
        self._is_log_broken = False
        self._workers: list[threading.Thread] = []
        self._saver: threading.Thread | None = None

    def launch(self) -> None:
        """Start the first worker, which starts the others when it has seen enough of the tar, and the one that saves."""
        self._employ(self._map.next_chain())
        if self._log is not None:
            saver = threading.Thread(target=self._save_now_and_then, name="opens2v-chains-save", daemon=True)
            with uncut():
                saver.start()
                self._saver = saver

    def stop(self) -> None:
        """Stop all threads and save what they found."""
        self._stopped.set()
        give_up_at = time.monotonic() + _JOIN_SECONDS
        for worker in self._workers:  # it may still grow; who does that is in it, and joined before
            worker.join(max(0.0, give_up_at - time.monotonic()))
        if self._saver is not None:
            self._saver.join()
            if not self._is_log_broken:
                self._save()

    def _employ(self, chain: Chain | None) -> bool:
        if chain is None or self._stopped.is_set():
            return False
        worker = threading.Thread(target=self._work, args=(chain,), name="opens2v-chains", daemon=True)
        with uncut():
            worker.start()
            self._workers.append(worker)
        return True

    def _spread(self) -> None:
        """Employ as many as there is work for; now and then, as what the tar's first bytes say of it may mislead."""
        if not self._spreading.acquire(blocking=False):
            return  # two at once would employ too many
        try:
            num_busy = sum(worker.is_alive() for worker in self._workers)
            for _ in range(self._options.max_chains - num_busy):
                if not self._employ(self._map.next_chain()):
                    break
            self._spread_at = 2 * self._map.num_requests + 1
        finally:
            self._spreading.release()

    def _work(self, chain: Chain | None) -> None:
        try:
            while chain is not None and not self._stopped.is_set():
                window = ReadAhead(self._read, self._map.part.size_bytes, at_least=self._group_bytes)
                steps = self._map.steps(chain)
                need = next(steps, None)
                while need is not None and not self._stopped.is_set():
                    if self._map.num_requests >= self._spread_at and self._map.is_probed:
                        self._spread()
                    data = window.read(need.start, need.length)
                    try:
                        need = steps.send(data)
                    except StopIteration:
                        break
                chain = None if self._stopped.is_set() else self._map.next_chain()
        except _StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 -- raised by the iterating thread
            self._fail(error)

    def _group_bytes(self) -> int:
        # A group's extensions are read with its file's header, as far as groups seen elsewhere needed.
        return min(self._map.group_bytes, _MAX_GROUP_BYTES) + BLOCK_BYTES + HEAD_BYTES

    def _read(self, start: int, length: int) -> bytes:
        """Read a range, again after errors that may pass."""
        for attempt in range(self._options.max_retries + 1):
            if self._stopped.is_set():
                raise _StoppedError
            self._map.count(len(self._reader.part.spans(start, length)), 0)
            try:
                data = self._reader.read(start, length)
            except RemoteError as error:
                if not error.is_retryable or attempt == self._options.max_retries:
                    raise
                with self._map.lock:
                    self.num_retries += 1
                backoff = min(60.0, self._options.backoff_seconds * 2**attempt) * random.uniform(0.5, 1.5)
                self._stopped.wait(max(backoff, error.retry_after_seconds or 0))
            else:
                self._map.count(0, length)
                return data
        raise AssertionError("the last attempt returns or raises")

    def _save_now_and_then(self) -> None:
        try:
            while not self._stopped.wait(self._options.save_seconds):
                self._save()
        except BaseException as error:  # noqa: BLE001 -- raised by the iterating thread
            self._is_log_broken = True  # what would be added behind half a frame could not be read
            self._fail(error)

    def _save(self) -> None:
        if self._log is not None and (runs := self._map.unsaved(self._saved)):
            self._log.append(runs)

    def _fail(self, error: BaseException) -> None:
        with self._map.changed:
            if self.failure is None:
                self.failure = error
            self._stopped.set()
            self._map.changed.notify_all()


class _StoppedError(Exception):
    """The scan ended while a worker was about to ask for bytes."""
