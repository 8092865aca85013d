"""`/v1/{table}` and `/v1/{table}/{key}`, the same for every table of a topology."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

from anyio import to_thread
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from operators.topology import KeyRange, TableSpec
from pipeline.query.arrivals import Arrivals
from pipeline.query.key_text import parse_cursor, prefix_range
from pipeline.query.parameters import (
    FRESHNESS,
    boolean_of,
    limit_of,
    partitions_of,
    single_parameters,
    whole_number_of,
)
from pipeline.query.peers import Peers
from pipeline.query.problems import Problem
from pipeline.query.reads import Reads, RowReads, Show, Slice, require_fresh, show_of
from pipeline.query.scatter import Scatter, merge
from pipeline.query.standby import Read, StandbyAnswers, Wish
from pipeline.query.stream import Streams, asked_key, is_stream
from pipeline.query.upstream import Upstream
from pipeline.query.waiting import Wanted, wanted_of
from pipeline.query.wire import ROUTED_HEADER, TABLES_ROOT, Page, RoutedPage, Row, encode
from pipeline.runtime.view import WorkerView

Select = Callable[[bytes, Mapping[str, str]], KeyRange]


class TableRoutes:
    """Point reads run on the event loop: a change of threads costs more than the read. Lists run in threads."""

    def __init__(self, view: WorkerView, peers: Peers, upstream: Upstream) -> None:
        self._view = view
        self._peers = peers
        self._reads = Reads(view)
        self._streams = Streams(view, peers, self._reads)
        self._arrivals = Arrivals(view, self._reads, upstream)
        self._scatter = Scatter(view, peers)
        self._standbys = StandbyAnswers(view, peers, self._scatter)

    async def look_up(self, request: Request) -> Response:
        """One row of a table, or the rows of one routing key of a table that has many."""
        spec = self._table(request)
        if spec.local:
            raise Problem(
                "no-such-path",
                f"rows of {spec.name} tell about a partition and are not looked up by key",
                hint=f"list them: {TABLES_ROOT}/{spec.name}",
            )
        streamed = is_stream(request, request.path_params["key"])
        text = asked_key(request)
        try:
            routing_key = spec.key.parse(text)
        except ValueError as error:
            raise Problem("bad-key", str(error)) from error
        partition = self._peers.directory.partition_of(routing_key)
        if streamed:
            return await self._streams.stream(request, spec, partition, routing_key)
        parameters = single_parameters(request, _look_up_parameters(spec))
        read: Read
        if spec.select is None:
            max_lag = whole_number_of(parameters, "max_lag")
            read = partial(_row, spec, partition, routing_key, show_of(spec, parameters.get("view")), max_lag)
        else:
            read = partial(
                _rows, _slice(spec, _keys(spec, spec.select, routing_key, parameters), parameters), partition
            )
        wish = self._standbys.wish(request, parameters)
        ask_owner = partial(self._by_owner, request, partition, wanted_of(parameters, self._peers.directory.partitions))
        if wish is Wish.NONE:
            return await ask_owner(read)
        return await self._standbys.answer(request, wish, partition, ask_owner, read)

    async def _by_owner(self, request: Request, partition: int, wanted: Wanted | None, read: Read) -> Response:
        try:
            if wanted is not None:
                await self._arrivals.wait(partition, wanted)
            return await read(self._reads)
        except Problem as problem:
            if problem.kind not in {"not-owner", "stale"}:
                raise
            if ROUTED_HEADER not in request.headers:
                return await self._elsewhere(request, partition, problem, wanted)
            raise (await self._peers.misdirected(partition) if problem.kind == "not-owner" else problem) from problem

    async def _elsewhere(self, request: Request, partition: int, here: Problem, wanted: Wanted | None) -> Response:
        """The owner's answer; when the cluster knows no other owner than this worker, why this one cannot answer."""
        try:
            return await self._peers.pass_on(request, partition, None if wanted is None else wanted.left_ms())
        except Problem as problem:
            raise (here if here.kind == "stale" and problem.kind == "rebalancing" else problem) from None

    async def list_rows(self, request: Request) -> Response:
        """Rows of all partitions in key order; of some of this worker's partitions, when another worker asks."""
        spec = self._table(request)
        routed = ROUTED_HEADER in request.headers
        allowed = ["prefix", "after", "limit", "view", "standby", *FRESHNESS, "partitions" if routed else "partial"]
        parameters = single_parameters(request, allowed)
        part = _slice(spec, prefix_range(parameters.get("prefix", "")), parameters)
        count = self._peers.directory.partitions
        wanted = wanted_of(parameters, count)
        wish = self._standbys.wish(request, parameters)
        if routed:
            asked_for = partitions_of(parameters, count)
            if wish is Wish.ONLY:
                return _json(await _page(part, await self._standbys.reads(), asked_for))
            return _json(await self._page_of_arrived(part, wanted, asked_for))
        some_will_do = boolean_of(parameters, "partial")
        passed_on = {name: value for name, value in parameters.items() if name not in {"partial", "standby"}}

        def target(partitions: Sequence[int], **more: str) -> str:
            left = {} if wanted is None else {"wait_ms": str(wanted.left_ms())}
            query = urlencode(passed_on | left | {"partitions": ",".join(map(str, partitions))} | more)
            return f"{TABLES_ROOT}/{spec.name}?{query}"

        pages = await self._scatter.gather(partial(self._page_of_arrived, part, wanted), target)
        if wish is not Wish.NONE:
            pages = await self._standbys.fill(pages, partial(_page, part), partial(target, standby=Wish.ONLY))
        return _json(merge(pages, part.limit, partial=some_will_do))

    async def _page_of_arrived(self, part: Slice, wanted: Wanted | None, partitions: Sequence[int]) -> RoutedPage:
        """The rows of those partitions that have folded what is wanted; why the others have not."""
        if wanted is None:
            return await _page(part, self._reads, partitions)
        late = await self._arrivals.late(partitions, wanted)
        page = await _page(part, self._reads, [partition for partition in partitions if partition not in late])
        missing = [self._reads.unanswered(partition, problem) for partition, problem in late.items()]
        return replace(page, unanswered=[*page.unanswered, *missing])

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


def _look_up_parameters(spec: TableSpec[Any]) -> list[str]:
    return [
        "view",
        "standby",
        *FRESHNESS,
        *(["after", "limit", *spec.select_parameters] if spec.select is not None else []),
    ]


def _keys(spec: TableSpec[Any], select: Select, routing_key: bytes, parameters: Mapping[str, str]) -> KeyRange:
    try:
        return select(routing_key, {name: parameters[name] for name in spec.select_parameters if name in parameters})
    except ValueError as error:
        raise Problem("bad-parameter", str(error)) from error


async def _row(
    spec: TableSpec[Any], partition: int, key: bytes, show: Show, max_lag: int | None, reads: RowReads
) -> Response:
    value, meta = reads.row(spec, partition, key, show)
    require_fresh(meta, max_lag)
    if value is None:
        raise Problem("no-such-row", f"{spec.name} has no row {spec.key.show(key)}", meta=meta)
    return _json(Row(spec.key.show(key), value, meta))


async def _rows(wanted: Slice, partition: int, reads: RowReads) -> Response:
    page = await to_thread.run_sync(reads.page_of, wanted, partition)
    return _json(merge([page], wanted.limit, partial=False))


async def _page(wanted: Slice, reads: RowReads, partitions: Sequence[int]) -> RoutedPage:
    return await to_thread.run_sync(reads.page, wanted, partitions)


def _slice(spec: TableSpec[Any], keys: KeyRange, parameters: dict[str, str]) -> Slice:
    try:
        after = parse_cursor(parameters["after"]) if "after" in parameters else None
    except ValueError as error:
        raise Problem("bad-parameter", str(error)) from error
    return Slice(spec, keys, after, limit_of(parameters), show_of(spec, parameters.get("view")),
                 whole_number_of(parameters, "max_lag"))  # fmt: skip


def _json(answer: Row | RoutedPage | Page) -> Response:
    return Response(encode(answer), media_type="application/json")
