"""What reviewers decided: events that are added to a file, each once, and what stands of them."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from opens2v_data.errors import VerdictLogError
from opens2v_explorer.verdicts.events import Event, now
from opens2v_explorer.verdicts.logfile import COLUMNS, log_error, open_log
from opens2v_explorer.verdicts.targets import Kind

Status = Literal["new", "already", "refused"]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An event that was not taken.

    Attributes:
        index: its place among those that were given.
        event_id: as it was given; None where it had none.
        reason: why.
    """

    index: int
    event_id: str | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class AddResult:
    """What became of events.

    Attributes:
        new: ids of those that are logged now.
        already: ids of those that were logged before.
        refused: those that are none, or whose id another event has.
        statuses: "new", "already" or "refused" of each, in the order given.
    """

    new: tuple[str, ...]
    already: tuple[str, ...]
    refused: tuple[Refusal, ...]
    statuses: tuple[Status, ...]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many targets a reviewer judged, by kind, round and verdict."""

    who: str
    kind: Kind
    round: int
    verdict: str
    count: int


class VerdictStore:
    """A log of verdicts. Threads may share one, and processes may open one file each for themselves.

    Attributes:
        path: the file.
        log_id: its UUID.
        why_read_only: why nothing can be added; None where it can.
    """

    def __init__(self, path: str | os.PathLike[str], *, must_exist: bool = False, read_only: bool = False) -> None:
        """Open a log, or begin one.

        Args:
            path: the file; its folder must be there.
            must_exist: begin none.
            read_only: add nothing, whoever asks; also what is done, and told, where the disk allows no more.

        Raises:
            VerdictLogError: no file can be made there, it is no log of verdicts, or one of a later version.
        """
        self.path = Path(path)
        self._lock = threading.RLock()
        opened = open_log(self.path, must_exist=must_exist, read_only=read_only)
        self._connection, self.log_id, self.why_read_only = opened.connection, opened.log_id, opened.why_read_only

    def __repr__(self) -> str:
        return f"VerdictStore({str(self.path)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was added is on the disk already."""
        with self._lock:
            self._connection.close()

    @property
    def is_writable(self) -> bool:
        """Whether events can be added."""
        return self.why_read_only is None

    def add(self, events: Iterable[Event | Mapping[str, Any]]) -> AddResult:
        """Log events, each once however often it comes; one that is wrong keeps no other back.

        Args:
            events: in their order; mappings as `Event.from_json` takes them.

        Raises:
            VerdictLogError: the file cannot be written; none of them is logged, and all may be given again.
        """
        if self.why_read_only is not None:
            raise VerdictLogError(f"cannot add verdicts to {self.path}: {self.why_read_only}")
        new: list[str] = []
        already: list[str] = []
        refused: list[Refusal] = []
        statuses: list[Status] = []
        received = now()
        marks = ", ".join("?" for _ in range(len(COLUMNS) + 1))
        insert = f"INSERT OR IGNORE INTO events ({', '.join(COLUMNS)}, received_at) VALUES ({marks})"
        with self._transaction() as connection:
            for index, given in enumerate(events):
                try:
                    event = given if isinstance(given, Event) else Event.from_json(given)
                except (ValueError, TypeError) as error:
                    refused.append(Refusal(index=index, event_id=_id_of(given), reason=str(error)))
                    statuses.append("refused")
                    continue
                if connection.execute(insert, (*_row(event), received)).rowcount:
                    new.append(event.event_id)
                    statuses.append("new")
                elif self._select("events WHERE event_id = ?", (event.event_id,)) == [event]:
                    already.append(event.event_id)
                    statuses.append("already")
                else:
                    reason = f"another event has the id {event.event_id}"
                    refused.append(Refusal(index=index, event_id=event.event_id, reason=reason))
                    statuses.append("refused")
        return AddResult(new=tuple(new), already=tuple(already), refused=tuple(refused), statuses=tuple(statuses))

    def current(
        self,
        kind: Kind | None = None,
        who: str | None = None,
        round: int | None = None,
        *,
        verdict: str | None = None,
        targets: Sequence[str] | None = None,
        last: int | None = None,
    ) -> list[Event]:
        """Return the verdicts that stand, in the order of their arrival.

        Args:
            kind, who, round, verdict: of these alone.
            targets: of these alone.
            last: so many of them, those that arrived last.
        """
        where, values = _where(kind=kind, who=who, round=round, verdict=verdict)
        if targets is not None:
            where += " AND target IN (SELECT value FROM json_each(?))"
            values.append(json.dumps(list(targets)))
        if last is None:
            return self._select(f"current WHERE {where} ORDER BY seq", values)
        return self._select(f"current WHERE {where} ORDER BY seq DESC LIMIT ?", [*values, last])[::-1]

    def judged(
        self,
        kind: Kind,
        *,
        who: str | None = None,
        not_who: str | None = None,
        round: int | None = None,
        verdict: str | None = None,
    ) -> list[str]:
        """Return the targets that have a verdict that stands, each once, in the order of their text.

        Args:
            kind: what was judged.
            who, round, verdict: by this reviewer, in this round, so.
            not_who: by any other reviewer.
        """
        where, values = _where(kind=kind, who=who, round=round, verdict=verdict)
        if not_who is not None:
            where += " AND who <> ?"
            values.append(not_who)
        return [row[0] for row in self._rows(f"SELECT DISTINCT target FROM current WHERE {where} ORDER BY 1", values)]

    def history(self, target: str, *, kind: Kind | None = None) -> list[Event]:
        """Return all events about a target, undone ones and undoing ones too, in the order of their arrival."""
        where, values = _where(kind=kind, target=target)
        return self._select(f"events WHERE {where} ORDER BY seq", values)

    def events(self, *, kind: Kind | None = None) -> Iterator[Event]:
        """Give all events in the order of their arrival, those that arrive meanwhile too."""
        seq = 0
        while True:
            where, values = _where(kind=kind)
            sql = f"SELECT seq, {', '.join(COLUMNS)} FROM events WHERE {where} AND seq > ? ORDER BY seq LIMIT 1000"
            rows = self._rows(sql, [*values, seq])
            if not rows:
                return
            for row in rows:
                yield _event(row[1:])
            seq = rows[-1][0]

    def count(self, kind: Kind | None = None) -> int:
        """Return how many events there are."""
        where, values = _where(kind=kind)
        return self._rows(f"SELECT count(*) FROM events WHERE {where}", values)[0][0]

    def reviewers(self) -> list[str]:
        """Return who gave a verdict, by name."""
        return [row[0] for row in self._rows("SELECT DISTINCT who FROM events ORDER BY 1")]

    def digests(self) -> dict[str, int]:
        """Return the catalogs that were judged, by digest, and how many verdicts of each stand."""
        return dict(self._rows("SELECT catalog_digest, count(*) FROM current GROUP BY 1 ORDER BY 2 DESC, 1"))

    def tallies(self) -> list[Tally]:
        """Return how many targets each reviewer judged how, in order of who, kind, round and verdict."""
        names = ("who", "kind", "round", "verdict")
        rows = self._rows(f"SELECT {', '.join(names)}, count(*) FROM current GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4")
        return [Tally(**dict(zip((*names, "count"), row, strict=True))) for row in rows]

    def version(self) -> int:
        """Return a number that grows with every event, for whoever keeps what was worked out from them."""
        return self._rows("SELECT coalesce(max(seq), 0) FROM events")[0][0]

    # -- inside

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise log_error("write", self.path, error) from error

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise log_error("read", self.path, error) from error

    def _select(self, rest: str, values: Sequence[Any]) -> list[Event]:
        return [_event(row) for row in self._rows(f"SELECT {', '.join(COLUMNS)} FROM {rest}", values)]


def _where(**wanted: Any) -> tuple[str, list[Any]]:
    asked = {name: value for name, value in wanted.items() if value is not None}
    return " AND ".join(["true", *(f"{name} = ?" for name in asked)]), list(asked.values())


def _row(event: Event) -> tuple[Any, ...]:
    values = event.to_json() | {"reasons": json.dumps(event.reasons, ensure_ascii=False)}
    return tuple(values[name] for name in COLUMNS)


def _event(row: Sequence[Any]) -> Event:
    values: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
    values["reasons"] = tuple(json.loads(values["reasons"]))
    return Event.logged(values)


def _id_of(given: object) -> str | None:
    found = given.get("event_id") if isinstance(given, Mapping) else None
    return found[:80] if isinstance(found, str) else None
