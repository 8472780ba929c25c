"""Which chains walk a tar, how far each has come, and where they meet.

A chain is a walk over headers that starts somewhere in the tar: at byte 0, or at a candidate found in the middle. Headers depend
on nothing but the bytes from a clean place on (one where the element before is no extension). So two chains that come to the
same clean place go on alike, and the later one stops there:

    chain 0   ├──────────────┤ meets 2
    chain 2                  ├───────────┤ meets 1                            trusted: 0, 2, 1 from where 2 met it
    chain 1                      ├ ┼ ┼ ┼ ┼─────────────────┤ end of the tar
    chain 3           ├──┤ no header: a false start, in a payload             dropped

Trust comes by induction: the chain from byte 0 is the tar's, and so is what it leads to. A chain that nothing trusted leads to
began at a false header and is dropped; the gap was walked by the trusted chain that passed over its start. No bytes of a
payload can therefore change the result, only its cost: every place is walked by one chain, once.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from struct import Struct
from typing import TYPE_CHECKING

from opens2v_data.archive.resync import resync
from opens2v_data.archive.tarheader import BLOCK_BYTES
from opens2v_data.archive.tarwalk import Element, Need, WalkEnd, walk
from opens2v_data.errors import TarFormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from opens2v_data.archive.parts import Part

_PACKED = Struct("<QQcHI")  # header offset, size, type, length of name, length of head
_FTYP_BYTES = 8  # all that is kept of a file's first bytes: what `starts_like_mp4` looks at
_MAX_BARREN_SCANS = 8
_MAX_GROUPS_AT_ONCE = 1_000
_SCAN_STRIDES = 8
"""A scan gives up after eight times the bytes between requests so far: with sizes spread exponentially, one in 3,000 does."""


def pack_element(element: Element) -> bytes:
    """Return an element as bytes, with as much of its payload as names and `has_ftyp` need: about 90 bytes."""
    head = element.head if element.is_extension else element.head[:_FTYP_BYTES]
    sizes = _PACKED.pack(element.header_offset, element.size_bytes, element.typeflag, len(element.name_raw), len(head))
    return sizes + element.name_raw + head


def unpack_elements(packed: bytes) -> Iterator[Element]:
    """Give the elements back.

    Raises:
        ValueError: the bytes are not of `pack_element`.
    """
    position = 0
    while position < len(packed):
        if position + _PACKED.size > len(packed):
            raise ValueError(f"{len(packed) - position} bytes are left, an element takes at least {_PACKED.size}")
        header_offset, size_bytes, typeflag, name_bytes, head_bytes = _PACKED.unpack_from(packed, position)
        name_at = position + _PACKED.size
        position = name_at + name_bytes + head_bytes
        if position > len(packed):
            raise ValueError(f"an element of {position - name_at} bytes is cut after {len(packed) - name_at}")
        name_raw, head = packed[name_at : name_at + name_bytes], packed[name_at + name_bytes : position]
        yield Element(header_offset, header_offset + BLOCK_BYTES, size_bytes, typeflag, name_raw, head)


@dataclass(eq=False, slots=True, kw_only=True)
class Chain:
    """One walk from a place in the tar.

    A group is a file (or folder, link …) with the extensions before it.

    Attributes:
        number: names the chain in the log.
        first: its first header; None until one is found.
        scan_start: where it looked for that.
        scan_stop: where looking ends.
        position: a clean place: behind its last group, or where the scan is.
        groups: elements up to `position`, packed, one entry per group.
        group_starts: each group's first header.
        met: the chain that had been at `position` before.
        end: how its walk ended, if it came to the end of the tar.
        error: why what follows `position` is no tar.
        is_trusted: the walk from byte 0 leads into it.
        trusted_from: index of the first group that does.
    """

    number: int
    first: int | None
    scan_start: int
    scan_stop: int
    position: int
    groups: list[bytes] = field(default_factory=list)
    group_starts: array[int] = field(default_factory=lambda: array("Q"))
    met: Chain | None = None
    end: WalkEnd | None = None
    error: TarFormatError | None = None
    is_trusted: bool = False
    trusted_from: int = 0


class ChainMap:
    """All chains of one part; threads share it. It reads nothing: `steps` asks for bytes and is sent them.

    Args:
        part: whose tar is walked.
        scan_bytes: how much to ask for at once when looking for a header.
        min_chain_bytes: gaps shorter than twice this are not split; None finds it from `min_chain_requests`.
        min_chain_requests: requests that a chain should make, so that finding its start (two or three) pays.
        probe_requests: requests of the first chain before others start.
    """

    def __init__(
        self,
        part: Part,
        *,
        scan_bytes: int,
        min_chain_bytes: int | None,
        min_chain_requests: int,
        probe_requests: int,
    ) -> None:
        self.part = part
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.chains: list[Chain] = []
        self.group_bytes = 0  # largest group seen, from its first header to the read-ahead behind its last
        self.num_requests = 0  # scans included
        self.num_bytes = 0
        self.num_scans = 0
        self.num_barren_scans = 0
        self.num_resumed_elements = 0
        self.num_resumed_groups = 0
        self.walked_bytes = 0  # by all chains; where false ones walked, more than the tar has
        self._scan_bytes = scan_bytes
        self._min_chain_bytes = min_chain_bytes
        self._min_chain_requests = min_chain_requests
        self._probe_requests = probe_requests
        self._owners: dict[int, Chain] = {}  # clean places that a chain has come to
        self._num_barren_in_a_row = 0
        self._waiting: deque[Chain] = deque()

    def start(self, known: Iterable[tuple[int, bytes]] = ()) -> None:
        """Begin with the chain from byte 0, or with chains that were kept.

        Args:
            known: chain number and packed groups, as `unsaved` gave them.

        Raises:
            ValueError: they are not of `unsaved`.
        """
        chains = {0: Chain(number=0, first=0, scan_start=0, scan_stop=0, position=0)}
        for number, packed in known:
            group: list[Element] = []
            for element in unpack_elements(packed):
                group.append(element)
                if element.is_extension:
                    continue
                start = group[0].header_offset
                chain = chains.get(number)
                if chain is None:
                    chain = chains[number] = Chain(
                        number=number, first=start, scan_start=start, scan_stop=start, position=start
                    )
                if start < chain.position:
                    raise ValueError(f"chain {number} goes back from {chain.position} to {start}")
                chain.groups.append(b"".join(map(pack_element, group)))
                chain.group_starts.append(start)
                chain.position = _end_of(element)
                self.num_resumed_elements += len(group)
                self.num_resumed_groups += 1
                group = []
            if group:
                raise ValueError(f"chain {number} ends in an extension")
        # By number, 0 first; a number whose chain found no group before it was stopped is free.
        for number in range(max(chains) + 1):
            chain = chains.get(number)
            if chain is None:
                chain = Chain(number=number, first=None, scan_start=0, scan_stop=0, position=0)
            else:
                assert chain.first is not None
                self._waiting.append(chain)
                self.walked_bytes += chain.position - chain.first
                # A chain's last position is not its own yet: another one may have come there first, and gone on.
                self._owners |= dict.fromkeys(chain.group_starts, chain)
            self.chains.append(chain)

    @property
    def is_probed(self) -> bool:
        """Whether enough is known to start more chains."""
        return self._min_chain_bytes is not None or self._num_walk_requests >= self._probe_requests

    @property
    def stride_bytes(self) -> int:
        """How far a request has brought the walks, on average."""
        return max(BLOCK_BYTES, self.walked_bytes // max(1, self._num_walk_requests))

    @property
    def _num_walk_requests(self) -> int:
        return self.num_resumed_groups + self.num_requests - self.num_scans

    def count(self, num_requests: int, num_bytes: int) -> None:
        """Note what a driver has read for a chain."""
        with self.lock:
            self.num_requests += num_requests
            self.num_bytes += num_bytes

    def next_chain(self) -> Chain | None:
        """Return a chain to walk next: one that waits, else a new one in the middle of the largest gap, else None."""
        with self.lock:
            if self._waiting:
                return self._waiting.popleft()
            if not self.is_probed or self._num_barren_in_a_row >= _MAX_BARREN_SCANS:
                return None
            start, stop = self._largest_gap()
            minimum = self._min_chain_bytes or self._min_chain_requests * self.stride_bytes
            if stop - start < max(2 * minimum, 2 * BLOCK_BYTES):
                return None
            middle = start + (stop - start) // 2
            middle += -middle % BLOCK_BYTES
            # Further after each that found nothing: the members here may be larger than those seen so far.
            reach = max(2 * self._scan_bytes << self._num_barren_in_a_row, _SCAN_STRIDES * self.stride_bytes)
            chain = Chain(
                number=len(self.chains),
                first=None,
                scan_start=middle,
                scan_stop=min(stop, middle + reach),
                position=middle,
            )
            self.chains.append(chain)
            return chain

    def _largest_gap(self) -> tuple[int, int]:
        """Return the longest range that no chain has scanned or walked."""
        best, reached = (0, 0), 0
        for start, stop in sorted((chain.scan_start, chain.position) for chain in self.chains):
            if start - reached > best[1] - best[0]:
                best = reached, start
            reached = max(reached, stop)
        total_bytes = self.part.size_bytes
        return (reached, total_bytes) if total_bytes - reached > best[1] - best[0] else best

    def steps(self, chain: Chain) -> Generator[Need, bytes, None]:
        """Walk a chain until it meets another, comes to the end, or to what is no header; wants to be sent each need."""
        if chain.first is None:
            yield from self._find_first(chain)
            if chain.first is None:
                return
        if self._meets(chain, chain.position):
            return
        walker = walk(self.part.size_bytes, start=chain.position, where=self.part.where)
        group: list[bytes] = []
        group_start = chain.position
        try:
            step = next(walker)
            while True:
                if isinstance(step, Need):
                    step = walker.send((yield step))
                    continue
                if not group:
                    group_start = step.header_offset
                    if group_start != chain.position and self._meets(chain, group_start):  # behind zeros
                        return
                group.append(pack_element(step))
                if not step.is_extension:
                    if self._keep(chain, group_start, b"".join(group), step):
                        return
                    group.clear()
                step = next(walker)
        except StopIteration as stop:
            with self.changed:
                chain.end = stop.value
                self.changed.notify_all()
        except TarFormatError as error:
            with self.changed:
                chain.error = error
                self.changed.notify_all()

    def _find_first(self, chain: Chain) -> Generator[Need, bytes, None]:
        scan = resync(chain.scan_start, chain.scan_stop, scan_bytes=self._scan_bytes)
        try:
            need = next(scan)
            while True:
                with self.lock:
                    self.num_scans += 1
                data = yield need
                with self.lock:
                    chain.position = need.start + need.length
                need = scan.send(data)
        except StopIteration as stop:
            found: int | None = stop.value
        with self.lock:
            if found is None:
                self.num_barren_scans += 1
                self._num_barren_in_a_row += 1
            else:
                self._num_barren_in_a_row = 0
                chain.first = chain.position = found

    def _meets(self, chain: Chain, place: int) -> bool:
        """Say whether another chain has been at a clean place; this one has been there from now on."""
        with self.changed:
            return self._meets_locked(chain, place)

    def _meets_locked(self, chain: Chain, place: int) -> bool:
        owner = self._owners.setdefault(place, chain)
        if owner is chain:
            return False
        chain.met, chain.position = owner, place
        self.changed.notify_all()
        return True

    def _keep(self, chain: Chain, group_start: int, packed: bytes, last: Element) -> bool:
        """Add a group; say whether the chain has met another behind it."""
        place = _end_of(last)
        with self.changed:
            chain.groups.append(packed)
            chain.group_starts.append(group_start)
            self.walked_bytes += place - chain.position
            chain.position = place
            self.group_bytes = max(self.group_bytes, last.data_offset - group_start)
            return self._meets_locked(chain, place)

    def trusted(self, wait: Callable[[Chain, int], None]) -> Generator[Element, None, WalkEnd]:
        """Give the tar's elements, from byte 0 on, through the chains that meet; return how the tar ends.

        Args:
            wait: called with a chain and a number of groups where the chain has no more, and nothing is known to follow
                (`is_stuck`); returns when there may be.

        Raises:
            TarFormatError: what follows the last element is no tar.
        """
        chain, index = self.chains[0], 0
        chain.is_trusted = True
        while True:
            with self.lock:
                groups = chain.groups[index : index + _MAX_GROUPS_AT_ONCE]
            if groups:
                index += len(groups)
                for group in groups:
                    yield from unpack_elements(group)
            elif self.is_stuck(chain, index):
                wait(chain, index)
            elif len(chain.groups) > index:
                continue  # they came just now
            elif chain.met is not None:
                with self.lock:
                    place, chain = chain.position, chain.met
                    index = bisect_left(chain.group_starts, place)
                    chain.is_trusted, chain.trusted_from = True, index
            elif chain.error is not None:
                raise chain.error
            elif chain.end is not None:
                return chain.end

    def is_stuck(self, chain: Chain, num_groups: int) -> bool:
        """Whether a chain is still to be walked, and has no more groups than these."""
        with self.lock:
            return len(chain.groups) <= num_groups and not (chain.met or chain.end or chain.error)

    def false_starts(self) -> tuple[int, int]:
        """Return how many chains nothing trusted leads to, and how many bytes of the tar were walked for nothing."""
        number = num_bytes = 0
        with self.lock:
            for chain in self.chains:
                if not chain.groups or chain.first is None:
                    continue
                if not chain.is_trusted:
                    number += 1
                    num_bytes += chain.position - chain.first
                elif chain.trusted_from:
                    starts = chain.group_starts
                    trusted = starts[chain.trusted_from] if chain.trusted_from < len(starts) else chain.position
                    num_bytes += trusted - chain.first
        return number, num_bytes

    def unsaved(self, saved: dict[int, int]) -> list[tuple[int, bytes]]:
        """Return the groups not handed out yet, by chain number, and count them in `saved`."""
        with self.lock:
            lengths = [(chain, saved.get(chain.number, 0), len(chain.groups)) for chain in self.chains]
        new: list[tuple[int, bytes]] = []
        for chain, before, now in lengths:
            if now > before:
                new.append((chain.number, b"".join(chain.groups[before:now])))
                saved[chain.number] = now
        return new


def _end_of(element: Element) -> int:
    """Return where the header behind an element is."""
    return element.data_offset + element.size_bytes + -element.size_bytes % BLOCK_BYTES
