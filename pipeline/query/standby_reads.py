"""Reads of the standbys kept here: each as of the owner's commit that it has come to, and marked as a standby's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from operators.topology import TableSpec
from pipeline.errors import StateUnusable
from pipeline.query.problems import Problem
from pipeline.query.reads import Show, Slice, StoredRow, decoded, require_fresh, routed_item, rows_after
from pipeline.query.wire import STANDBY, Lag, Meta, RoutedPage, Unanswered
from pipeline.runtime.view import WorkerView
from pipeline.state.api import Position, StoreView


class StandbyReads:
    """`RowReads` of standbys, for one question. Problem where this worker keeps none that is fit to answer."""

    def __init__(self, view: WorkerView, owners: Mapping[int, str]) -> None:
        """`owners` as the group names them; one that it does not name is told as none."""
        self._view = view
        self.owners = owners

    def row(self, spec: TableSpec[Any], partition: int, key: bytes, show: Show) -> tuple[Any, Meta]:
        """A row as shown, or None when the standby has none."""
        with self._standby(partition) as store:
            data, position = store.get(spec.name, key), store.position
        return (None if data is None else show(key, decoded(spec, key, data))), self._meta(partition, position)

    def page_of(self, wanted: Slice, partition: int) -> RoutedPage:
        """The first rows of one partition, in order."""
        return self._page(wanted, *self._first_rows(wanted, partition), [])

    def page(self, wanted: Slice, partitions: Sequence[int]) -> RoutedPage:
        """The first rows of these partitions, in order, and which of the partitions cannot answer."""
        rows: list[StoredRow] = []
        metas: list[Meta] = []
        unanswered: list[Unanswered] = []
        for partition in partitions:
            try:
                found, of_one = self._first_rows(wanted, partition)
            except Problem as problem:
                unanswered.append(Unanswered(partition, self.owners.get(partition), problem.kind, problem.detail))
            else:
                rows += found
                metas += of_one
        return self._page(wanted, sorted(rows), metas, unanswered)

    def _page(
        self, wanted: Slice, rows: Sequence[StoredRow], metas: list[Meta], unanswered: list[Unanswered]
    ) -> RoutedPage:
        items = [routed_item(wanted, *row) for row in rows[: wanted.limit]]
        return RoutedPage(items, len(rows) > wanted.limit, metas, unanswered)

    def _first_rows(self, wanted: Slice, partition: int) -> tuple[list[StoredRow], list[Meta]]:
        """One row more than wanted, which tells whether there are any."""
        with self._standby(partition) as store:
            rows, position = list(islice(rows_after(store, partition, wanted), wanted.limit + 1)), store.position
        meta = self._meta(partition, position)
        require_fresh(meta, wanted.max_lag)
        return rows, [meta]

    @contextmanager
    def _standby(self, partition: int) -> Iterator[StoreView]:
        try:
            with self._view.standby_view(partition) as store:
                yield store
        except KeyError:
            detail = f"worker {self._view.worker_id} keeps no standby of partition {partition}"
            raise Problem("no-standby", detail, partition=partition) from None
        except StateUnusable as error:
            raise Problem("restoring", f"the standby is not fit to answer: {error}", partition=partition) from error

    def _meta(self, partition: int, position: Position) -> Meta:
        status = next((each for each in self._view.standbys() if each.partition == partition), None)
        lag = None
        if status is not None and status.end >= 0:
            lag = Lag(max(0, status.end - position.source_next), status.end_age_s)
        owner = self.owners.get(partition)
        return Meta(owner, partition, position.source_next, lag, STANDBY, complete=True, worker=self._view.worker_id)
