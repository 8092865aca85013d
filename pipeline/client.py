"""A typed client of the workers' queries::

    with Client.connect(settings, topology) as client:
        row = client.get("device-state", "press-07")
        for item in client.scan("device-state", prefix="press-"):
            ...

It learns from Kafka which workers there are, goes to the owner first and to others when one is away, and asks again
while partitions change hands. Errors: see `pipeline.query.asking`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace

from operators.topology import Topology
from pipeline.log.api import Admin
from pipeline.log.kafka import connect
from pipeline.query.asking import Absent, Asker, NoWorkers, Refused, Unavailable
from pipeline.query.discovery import GroupWorkers, KnownWorkers, Workers
from pipeline.query.key_text import path_segment
from pipeline.query.outgoing import PLAIN, Outgoing
from pipeline.query.status import silent
from pipeline.query.verifying import verify_everywhere
from pipeline.query.waiting import MAX_WAIT_MS
from pipeline.query.wire import (
    SKEW_PATH,
    STANDBY,
    STATUS_PATH,
    STREAM_SUFFIX,
    TABLES_ROOT,
    VERIFY_PATH,
    Item,
    Lag,
    Meta,
    Page,
    PartitionRow,
    Row,
    SilentWorker,
    SkewReport,
    SkewRow,
    StandbyRow,
    StatusReport,
)
from pipeline.settings import Settings

__all__ = [
    "Client",
    "Item",
    "Lag",
    "Meta",
    "NoWorkers",
    "Page",
    "PartitionRow",
    "Refused",
    "Row",
    "SilentWorker",
    "SkewReport",
    "SkewRow",
    "StandbyRow",
    "Unavailable",
]

PATIENCE_S = 10.0
PAGE_ROWS = 500
HOT_KEYS = 10
"""Of a partition, unless more are asked for."""


class Client:
    """Questions to a pipeline's workers. For one thread; close it, or use it in a `with`."""

    def __init__(
        self,
        workers: Workers,
        *,
        patience_s: float = PATIENCE_S,
        admin: Admin | None = None,
        outgoing: Outgoing = PLAIN,
    ) -> None:
        """`patience_s` is how long a question is repeated while its partition changes hands or is restored.

        An `admin` given is closed with the client. `outgoing`: how workers are asked.
        """
        self._workers = workers
        self._admin = admin
        self._outgoing = outgoing
        self._patience_s = patience_s
        self._asker = Asker(workers.doubt, patience_s, outgoing)

    @classmethod
    def at(cls, *addresses: str, patience_s: float = PATIENCE_S, settings: Settings | None = None) -> Client:
        """A client of workers at known addresses (HOST:PORT); one is enough, it knows the others.

        `settings` say whether they are asked over TLS, and with which token; none: without either.
        """
        outgoing = PLAIN if settings is None else Outgoing.of(settings)
        return cls(KnownWorkers(*addresses), patience_s=patience_s, outgoing=outgoing)

    @classmethod
    def connect(cls, settings: Settings, topology: Topology, *, patience_s: float = PATIENCE_S) -> Client:
        """A client that learns from the cluster which workers there are."""
        outgoing = Outgoing.of(settings)
        admin = connect(settings).admin()
        workers = GroupWorkers(admin, topology, settings.prefix)
        return cls(workers, patience_s=patience_s, admin=admin, outgoing=outgoing)

    def close(self) -> None:
        self._asker.close()
        if self._admin is not None:
            self._admin.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def get(
        self,
        table: str,
        key: str,
        *,
        view: str | None = None,
        standby_ok: bool = False,
        max_lag: int | None = None,
        min_position: str | None = None,
    ) -> Row | None:
        """One row; None when its owner says that there is none.

        With `standby_ok` a standby may answer while the owner cannot, as `meta` then tells. One that has no such row
        gives a Row that says `absent`, as it cannot speak for the owner. With `max_lag` nobody answers who is more
        records than that behind the source. With `min_position` (`PARTITION:OFFSET` of the first topic, several with
        commas between) the answer comes once those messages are folded or refused.
        Raises Unavailable, Refused, Misconfigured (an unknown table, or a text that can be no key).
        """
        target = _target(f"{TABLES_ROOT}/{path_segment(table)}/{path_segment(key)}", view=view,
                         standby="true" if standby_ok else None, **self._freshness(max_lag, min_position))  # fmt: skip
        try:
            return msgspec.json.decode(self._asker.ask(lambda: self._workers.of_table(table, key), target), type=Row)
        except Absent as absent:
            meta = absent.meta
            return None if meta is None or meta.served_by != STANDBY else Row(key, None, meta, absent=True)

    def watch(self, table: str, key: str, *, view: str | None = None) -> Iterator[Row]:
        """A row as it is, and then after each commit that touches it; the latest alone for who is slower than commits.

        A row that does not exist (any more) is a Row that says `absent`. Goes on when the partition moves, and never
        ends by itself. Raises as `get` does, once nothing has been heard for as long as the patience lasts.
        """
        path = f"{TABLES_ROOT}/{path_segment(table)}/{path_segment(key)}{STREAM_SUFFIX}"
        for event in self._asker.listen(lambda: self._workers.of_table(table, key), _target(path, view=view)):
            row = msgspec.json.decode(event.data, type=Row)
            yield replace(row, absent=event.event == "absent")

    def pages(
        self,
        table: str,
        prefix: str = "",
        *,
        after: str | None = None,
        view: str | None = None,
        page_rows: int = PAGE_ROWS,
        limit: int | None = None,
        incomplete_ok: bool = False,
        standby_ok: bool = False,
        max_lag: int | None = None,
        min_position: str | None = None,
    ) -> Iterator[Page]:
        """A table in key order over all partitions, at most `limit` rows, a page at a time, each with what its owners
        say of it.

        Every page is exact for the moment that its `meta` tells; rows that change between two pages may be in either
        state. With `standby_ok`, standbys answer for partitions whose owner cannot, as `meta` tells of each; a page may
        then be as of an earlier moment than the one before it. With `incomplete_ok`, partitions that nobody answers for
        are told in `meta` and left out; `max_lag` and `min_position` keep those from answering that are too far behind.
        """
        path = f"{TABLES_ROOT}/{path_segment(table)}"
        options: dict[str, str | int | None] = {
            "prefix": prefix or None,
            "view": view,
            "partial": "true" if incomplete_ok else None,
        }
        options |= {"after": after, "standby": "true" if standby_ok else None}
        options |= self._freshness(max_lag, min_position)
        return self._pages(lambda: self._workers.of_table(table), path, options, page_rows, limit)

    def scan(
        self,
        table: str,
        prefix: str = "",
        *,
        limit: int | None = None,
        view: str | None = None,
        max_lag: int | None = None,
        min_position: str | None = None,
    ) -> Iterator[Item]:
        """The rows of a table, at most `limit`, in key order over all partitions, as their owners have them."""
        return _items(self.pages(table, prefix, view=view, limit=limit, max_lag=max_lag, min_position=min_position))

    def rows(
        self,
        table: str,
        key: str,
        select: Mapping[str, str | int] | None = None,
        *,
        view: str | None = None,
        max_lag: int | None = None,
        min_position: str | None = None,
    ) -> Iterator[Item]:
        """The rows of one key of a table that has many, as their owner has them; see `pages_of_key`."""
        return _items(self.pages_of_key(table, key, select, view=view, max_lag=max_lag, min_position=min_position))

    def pages_of_key(
        self,
        table: str,
        key: str,
        select: Mapping[str, str | int] | None = None,
        *,
        view: str | None = None,
        standby_ok: bool = False,
        max_lag: int | None = None,
        min_position: str | None = None,
    ) -> Iterator[Page]:
        """The rows of one key of a table that has many, narrowed by the parameters that its `select` knows, a page at a
        time. `standby_ok`, `max_lag` and `min_position` are as in `pages`.
        """
        path = f"{TABLES_ROOT}/{path_segment(table)}/{path_segment(key)}"
        find = partial(self._workers.of_table, table, key)
        options: dict[str, str | int | None] = {"view": view, "standby": "true" if standby_ok else None}
        options |= self._freshness(max_lag, min_position) | dict(select or {})
        return self._pages(find, path, options, PAGE_ROWS, None)

    def status(self, stage: str | None = None) -> list[PartitionRow]:
        """Every partition of one stage, of all aggregate stages when none is named, owned or not."""
        stages = [stage] if stage is not None else self._workers.stages()
        return [row for name in stages for row in self._status(name)]

    def skew(self, stage: str | None = None, *, prefix: str = "", limit: int = HOT_KEYS) -> SkewReport:
        """What came lately to each partition of one stage, of all aggregate stages when none is named, with at most so
        many of its hot keys, of those that begin with `prefix`. Partitions of workers that do not answer are missing,
        and those workers named. Raises Unavailable, and Refused for a token that may not read such keys.
        """
        target = _target(SKEW_PATH, all="true", prefix=prefix or None, limit=limit)
        reports = [
            msgspec.json.decode(self._asker.ask(partial(self._workers.of_stage, name), target), type=SkewReport)
            for name in ([stage] if stage is not None else self._workers.stages())
        ]
        return SkewReport(
            [row for report in reports for row in report.partitions],
            [worker for report in reports for worker in report.silent],
        )

    def verify(self, stage: str | None = None, *, from_source: bool = False) -> Iterator[dict[str, Any]]:
        """Have each owner prove its partitions; the lines of all of them as they come (see `pipeline.verify`).

        Raises Unavailable at the end when a partition was proved by nobody, and what a worker fails with.
        """
        target = _target(VERIFY_PATH, from_source="true" if from_source else None)
        for name in [stage] if stage is not None else self._workers.stages():
            proved = set()
            for line in verify_everywhere(self._workers.of_stage(name), target, self._outgoing):
                if "digest" in line:
                    proved.add(line["partition"])
                yield line
            missing = [row for row in self._status(name) if row.partition not in proved]
            if missing:
                told = ", ".join(f"{row.partition} ({row.state})" for row in missing)
                raise Unavailable(f"nobody has proved these partitions: {told}", hint="see statelog status, then again")

    def _freshness(self, max_lag: int | None, min_position: str | None) -> dict[str, str | int | None]:
        """As parameters. A worker waits as long as this client would go on asking."""
        wait_ms = None if min_position is None else min(round(self._patience_s * 1000), MAX_WAIT_MS)
        return {"max_lag": max_lag, "min_position": min_position, "wait_ms": wait_ms}

    def _status(self, stage: str) -> list[PartitionRow]:
        """What any worker says, once; where nobody says anything, what the cluster knows."""
        rows: list[PartitionRow] = []
        try:
            target = _target(STATUS_PATH, all="true")
            answer = self._asker.ask(partial(self._workers.of_stage, stage), target, patience_s=0)
            rows = msgspec.json.decode(answer, type=StatusReport).partitions
        except Unavailable:
            if not (committed := self._workers.committed(stage)):
                raise
        else:
            if all(row.position is not None for row in rows):
                return rows
            committed = self._workers.committed(stage)
        rows = rows or [silent(stage, partition, told.owner) for partition, told in committed.items()]
        return [
            replace(row, position=committed[row.partition].position, end=committed[row.partition].end)
            if row.position is None and row.partition in committed
            else row
            for row in rows
        ]

    def _pages(
        self,
        find: Callable[[], Sequence[str]],
        path: str,
        options: Mapping[str, str | int | None],
        page_rows: int,
        limit: int | None,
    ) -> Iterator[Page]:
        left, place = limit, dict(options)
        while left != 0:
            place["limit"] = page_rows if left is None else min(left, page_rows)
            page = msgspec.json.decode(self._asker.ask(find, _target(path, **place)), type=Page)
            yield page
            if page.next is None:
                return
            left = None if left is None else left - len(page.items)
            place["after"] = page.next


def _items(pages: Iterator[Page]) -> Iterator[Item]:
    return (item for page in pages for item in page.items)


def _target(path: str, **parameters: str | int | None) -> str:
    query = urlencode({name: value for name, value in parameters.items() if value is not None})
    return f"{path}?{query}" if query else path
