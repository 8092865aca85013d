"""Reads of the stores that this worker holds: only of partitions that are active before and after the read."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import msgspec

from operators.topology import KeyRange, TableSpec
from pipeline.errors import StateUnusable
from pipeline.query.key_text import Cursor
from pipeline.query.problems import Problem
from pipeline.query.wire import Lag, Meta, RoutedItem, RoutedPage, Unanswered, encode
from pipeline.runtime.view import PartitionState, PartitionStatus, WorkerView
from pipeline.state.api import Position, StoreView
from pipeline.state.envelope import unseal

MAX_LAG_AGE_S = 10.0
"""A lag that was known longer ago says nothing: it is looked up each second."""

Show = Callable[[bytes, Any], Any]
StoredRow = tuple[bytes, int, bytes]
"""Key, partition and sealed value: in this order they sort as lists do."""


@dataclass(frozen=True)
class Slice:
    """A part of a table: the first `limit` rows of a range that come after a cursor."""

    spec: TableSpec[Any]
    keys: KeyRange
    after: Cursor | None
    limit: int
    show: Show
    max_lag: int | None = None
    """Records that a partition may be behind its source; None: any number."""


def show_of(spec: TableSpec[Any], view: str | None) -> Show:
    """How the table shows a row under that view; Problem when it has no such view."""
    if view is None:
        return spec.show
    if view not in spec.views:
        known = ", ".join(sorted(spec.views)) or "none"
        raise Problem("unknown-view", f"table {spec.name} has no view {view!r}", hint=f"its views: {known}")
    return spec.views[view]


class RowReads(Protocol):
    """What stores on this worker answer, those that it owns or its standbys. Problem where they cannot; never less."""

    def row(self, spec: TableSpec[Any], partition: int, key: bytes, show: Show) -> tuple[Any, Meta]: ...
    def page(self, wanted: Slice, partitions: Sequence[int]) -> RoutedPage: ...
    def page_of(self, wanted: Slice, partition: int) -> RoutedPage: ...


class Reads:
    """What this worker can answer from its own stores. Raises Problem where it cannot; never answers less."""

    def __init__(self, view: WorkerView) -> None:
        self._view = view

    def row(self, spec: TableSpec[Any], partition: int, key: bytes, show: Show) -> tuple[Any, Meta]:
        """A row as shown, or None when this partition's owner knows that there is none."""
        data = None
        try:
            with ExitStack() as stack:
                store = self._open(stack, partition)
                data = store.get(spec.name, key)
                position = store.position
        except StateUnusable:
            # A store that is closed under a reader, because its partition leaves, is no broken store.
            self.require_active(partition)
            raise
        self.require_active(partition)
        return (None if data is None else show(key, decoded(spec, key, data))), self._meta(partition, position)

    def page(self, wanted: Slice, partitions: Sequence[int]) -> RoutedPage:
        """The first rows of these partitions, in order, and which of the partitions cannot answer."""
        asked = list(partitions)
        unanswered: list[Unanswered] = []
        while True:
            rows, metas, failed = self._attempt(wanted, asked)
            unanswered += failed
            if not failed:
                break
            asked = [partition for partition in asked if all(one.partition != partition for one in failed)]
        items = [routed_item(wanted, *row) for row in rows[: wanted.limit]]
        return RoutedPage(items, len(rows) > wanted.limit, metas, unanswered)

    def page_of(self, wanted: Slice, partition: int) -> RoutedPage:
        """The same of one partition; Problem, with what is known, when it cannot answer."""
        page = self.page(wanted, [partition])
        if page.unanswered:
            # The same check that found it raises it, with all that it knows; a change of mind is a change of hands.
            self.require_active(partition)
            status = self._status(partition)
            if status is not None:
                require_fresh(self._meta(partition, Position(status.position)), wanted.max_lag)
            raise Problem("rebalancing", page.unanswered[0].reason, partition=partition)
        return page

    def _attempt(
        self, wanted: Slice, partitions: Sequence[int]
    ) -> tuple[list[StoredRow], list[Meta], list[Unanswered]]:
        """Read all of these partitions at once, one row more than wanted. No row counts when one partition failed."""
        rows: list[StoredRow] = []
        metas: list[Meta] = []
        failed: list[Unanswered] = []
        broken: StateUnusable | None = None
        try:
            with ExitStack() as stack:
                streams = []
                for partition in partitions:
                    try:
                        store = self._open(stack, partition)
                    except Problem as problem:
                        failed.append(self.unanswered(partition, problem))
                        continue
                    meta = self._meta(partition, store.position)
                    try:
                        require_fresh(meta, wanted.max_lag)
                    except Problem as problem:
                        failed.append(self.unanswered(partition, problem))
                        continue
                    metas.append(meta)
                    streams.append(rows_after(store, partition, wanted))
                rows = list(islice(heapq.merge(*streams), wanted.limit + 1))
        except StateUnusable as error:
            broken = error
        known = {one.partition for one in failed}
        for partition in partitions:
            try:
                self.require_active(partition)
            except Problem as problem:
                if partition not in known:
                    failed.append(self.unanswered(partition, problem))
        if broken is not None and not failed:
            raise broken
        return rows, metas, failed

    def unanswered(self, partition: int, problem: Problem) -> Unanswered:
        return Unanswered(partition, self._view.worker_id, problem.kind, problem.detail)

    def _open(self, stack: ExitStack, partition: int) -> StoreView:
        self.require_active(partition)
        try:
            return stack.enter_context(self._view.view(partition))
        except KeyError:
            detail = f"partition {partition} has just left this worker"
            raise Problem("not-owner", detail, partition=partition) from None

    def require_active(self, partition: int) -> None:
        """Problem, with what is known, unless this worker may speak for the partition now."""
        state = self._view.state_of(partition)
        if state is PartitionState.ACTIVE:
            return
        if state is PartitionState.RESTORING:
            raise self._restoring(partition)
        if state is PartitionState.STALE:
            raise Problem(
                "stale",
                f"worker {self._view.worker_id} has heard nothing of its group for a session timeout",
                hint="it answers again once its loop runs and it is still a member",
                partition=partition,
            )
        raise Problem("not-owner", f"partition {partition} is not held here", partition=partition)

    def _restoring(self, partition: int) -> Problem:
        """A store in mid-restore is no prefix of anything, so nothing of it is shown but its progress."""
        status = self._status(partition)
        if status is None:
            return Problem("restoring", f"partition {partition} is being restored", partition=partition)
        left = "" if status.eta_s is None else f", about {status.eta_s:.0f} s left"
        return Problem(
            "restoring",
            f"partition {partition} is being restored: at {status.position} of {status.end}{left}",
            partition=partition,
            position=status.position,
            end=status.end,
            rate=status.rate,
            eta_s=status.eta_s,
        )

    def _meta(self, partition: int, position: Position) -> Meta:
        status = self._status(partition)
        lag = None
        if status is not None and status.end >= 0:
            lag = Lag(max(0, status.end - position.source_next), status.end_age_s)
        return Meta(self._view.worker_id, partition, position.source_next, lag, PartitionState.ACTIVE, complete=True)

    def _status(self, partition: int) -> PartitionStatus | None:
        return next((status for status in self._view.partitions() if status.partition == partition), None)


def require_fresh(meta: Meta, max_lag: int | None) -> None:
    """Problem for an answer that is further behind than that, or of which nobody knows how far it is."""
    if max_lag is None:
        return
    lag = meta.lag
    if lag is None:
        detail = f"how far partition {meta.partition} is behind is not known yet"
    elif lag.age_s > MAX_LAG_AGE_S:
        detail = f"how far partition {meta.partition} is behind was last known {lag.age_s:.1f} s ago"
    elif lag.records > max_lag:
        detail = f"partition {meta.partition} is {lag.records} records behind, more than {max_lag}"
    else:
        return
    raise Problem(
        "too-stale",
        detail,
        hint="ask again when it has caught up, or allow more with max_lag",
        partition=meta.partition,
        owner=meta.owner,
        position=meta.position,
        lag=lag,
        max_lag=max_lag,
    )


def rows_after(store: StoreView, partition: int, wanted: Slice) -> Iterator[StoredRow]:
    start, stop = wanted.keys.start, wanted.keys.stop
    if wanted.after is not None:
        start = max(start, wanted.after.start_in(partition))
    if stop is None or start < stop:
        for key, data in store.scan(wanted.spec.name, start, stop):
            yield key, partition, data


def routed_item(wanted: Slice, key: bytes, partition: int, data: bytes) -> RoutedItem:
    spec = wanted.spec
    shown = wanted.show(key, decoded(spec, key, data))
    return RoutedItem(str(Cursor(key, partition)), spec.key.show(key), msgspec.Raw(encode(shown)))


def decoded(spec: TableSpec[Any], key: bytes, data: bytes) -> Any:
    try:
        return spec.value.decode(unseal(data))
    except ValueError as error:
        detail = f"row {spec.key.show(key)} of {spec.name} cannot be decoded: {error}"
        raise Problem("state-unusable", detail) from error
