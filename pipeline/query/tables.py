"""`/v1/{table}` and `/v1/{table}/{key}`, the same for every table of a topology."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from operators.topology import KeyRange, TableSpec
from pipeline.query.key_text import parse_cursor, prefix_range
from pipeline.query.parameters import boolean_of, limit_of, partitions_of, single_parameters
from pipeline.query.peers import Peers
from pipeline.query.problems import Problem
from pipeline.query.reads import Reads, Slice, show_of
from pipeline.query.scatter import Scatter, merge
from pipeline.query.standby import StandbyAnswers
from pipeline.query.wire import ROUTED_HEADER, TABLES_ROOT, Page, RoutedPage, Row, encode
from pipeline.runtime.view import WorkerView

Select = Callable[[bytes, Mapping[str, str]], KeyRange]


class TableRoutes:
    """Point reads run on the event loop: a change of threads costs more than the read. Lists run in threads."""

    def __init__(self, view: WorkerView, peers: Peers) -> None:
        self._view = view
        self._peers = peers
        self._reads = Reads(view)
        self._scatter = Scatter(view, peers)
        self._fallback = StandbyAnswers(view, peers, self._reads)

    async def look_up(self, request: Request) -> Response:
        """One row of a table, or the rows of one routing key of a table that has many."""
        spec = self._table(request)
        if spec.local:
            raise Problem(
                "no-such-path",
                f"rows of {spec.name} tell about a partition and are not looked up by key",
                hint=f"list them: {TABLES_ROOT}/{spec.name}",
            )
        text = request.path_params["key"]
        try:
            routing_key = spec.key.parse(text)
        except ValueError as error:
            raise Problem("bad-key", str(error)) from error
        partition = self._peers.directory.partition_of(routing_key)
        if spec.select is None and (wish := self._fallback.wish(request)):
            ask_owner = partial(self._by_owner, request, spec, partition, routing_key, text)
            return await self._fallback.answer(request, wish, ask_owner, spec, partition, routing_key)
        return await self._by_owner(request, spec, partition, routing_key, text)

    async def _by_owner(
        self, request: Request, spec: TableSpec[Any], partition: int, routing_key: bytes, text: str
    ) -> Response:
        try:
            if spec.select is None:
                return self._one(request, spec, partition, routing_key, text)
            return await self._rows(request, spec, spec.select, partition, routing_key)
        except Problem as problem:
            if problem.kind not in {"not-owner", "stale"}:
                raise
            if ROUTED_HEADER not in request.headers:
                return await self._elsewhere(request, partition, problem)
            raise (await self._peers.misdirected(partition) if problem.kind == "not-owner" else problem) from problem

    async def _elsewhere(self, request: Request, partition: int, here: Problem) -> Response:
        """The owner's answer; when the cluster knows no other owner than this worker, why this one cannot answer."""
        try:
            return await self._peers.pass_on(request, partition)
        except Problem as problem:
            raise (here if here.kind == "stale" and problem.kind == "rebalancing" else problem) from None

    def _one(self, request: Request, spec: TableSpec[Any], partition: int, key: bytes, text: str) -> Response:
        show = show_of(spec, single_parameters(request, ["view", "standby"]).get("view"))
        value, meta = self._reads.row(spec, partition, key, show)
        if value is None:
            raise Problem("no-such-row", f"{spec.name} has no row {text}", meta=meta)
        return _json(Row(spec.key.show(key), value, meta))

    async def _rows(
        self, request: Request, spec: TableSpec[Any], select: Select, partition: int, routing_key: bytes
    ) -> Response:
        parameters = single_parameters(request, ["view", "after", "limit", *spec.select_parameters])
        try:
            keys = select(
                routing_key, {name: parameters[name] for name in spec.select_parameters if name in parameters}
            )
        except ValueError as error:
            raise Problem("bad-parameter", str(error)) from error
        wanted = _slice(spec, keys, parameters)
        page = await self._page(wanted, [partition])
        if page.unanswered:
            # The same check that found it raises it, with all that it knows; a change of mind is a change of hands.
            self._reads.require_active(partition)
            raise Problem("rebalancing", page.unanswered[0].reason, partition=partition)
        return _json(merge([page], wanted.limit, partial=False))

    async def list_rows(self, request: Request) -> Response:
        """Rows of all partitions in key order; of some of this worker's partitions, when another worker asks."""
        spec = self._table(request)
        routed = ROUTED_HEADER in request.headers
        allowed = ["prefix", "after", "limit", "view", "partitions" if routed else "partial"]
        parameters = single_parameters(request, allowed)
        wanted = _slice(spec, prefix_range(parameters.get("prefix", "")), parameters)
        if routed:
            return _json(await self._page(wanted, partitions_of(parameters, self._peers.directory.partitions)))
        some_will_do = boolean_of(parameters, "partial")
        passed_on = {name: value for name, value in parameters.items() if name != "partial"}

        def target(partitions: Sequence[int]) -> str:
            query = urlencode(passed_on | {"partitions": ",".join(map(str, partitions))})
            return f"{TABLES_ROOT}/{spec.name}?{query}"

        pages = await self._scatter.gather(partial(self._page, wanted), target)
        return _json(merge(pages, wanted.limit, partial=some_will_do))

    async def _page(self, wanted: Slice, partitions: Sequence[int]) -> RoutedPage:
        return await to_thread.run_sync(self._reads.page, wanted, partitions)

    def _table(self, request: Request) -> TableSpec[Any]:
        name = request.path_params["table"]
        try:
            return self._view.stage.table(name)
        except KeyError:
            tables = [table.name for table in self._view.stage.tables]
            raise Problem(
                "unknown-table",
                f"stage {self._view.stage.name} has no table {name!r}",
                hint=f"its tables: {', '.join(tables)}",
                tables=tables,
            ) from None


def _slice(spec: TableSpec[Any], keys: KeyRange, parameters: dict[str, str]) -> Slice:
    try:
        after = parse_cursor(parameters["after"]) if "after" in parameters else None
    except ValueError as error:
        raise Problem("bad-parameter", str(error)) from error
    return Slice(spec, keys, after, limit_of(parameters), show_of(spec, parameters.get("view")))


def _json(answer: Row | RoutedPage | Page) -> Response:
    return Response(encode(answer), media_type="application/json")
