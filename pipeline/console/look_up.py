"""Rows for the page: those of one key, as `statelog get` and `statelog windows` give them."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from operators.topology import TableSpec, Topology
from pipeline.console.asking import Clients
from pipeline.query.parameters import single_parameters
from pipeline.query.problems import Problem
from pipeline.query.wire import encode

MOST_ROWS = 3_000
"""Of one key: two days of windows of a minute each, of one metric."""
SUGGESTED = 8


class LookUpRoutes:
    def __init__(self, topology: Topology, clients: Clients) -> None:
        self._topology = topology
        self._clients = clients

    async def row(self, request: Request) -> Response:
        """`key=`, `view=`: one row with what the answer is worth; 404 when its owner says that there is none."""
        table = self._table(request)
        parameters = single_parameters(request, ["key", "view"])
        key, view = _key(parameters), parameters.get("view")

        def ask() -> bytes:
            with self._clients.borrowed() as client:
                row = client.get(table.name, key, view=view)
            if row is None:
                raise Problem("no-such-row", f"{table.name} has no row {key}", hint="its owner answered")
            return encode(row)

        return Response(await to_thread.run_sync(ask), media_type="application/json")

    async def rows(self, request: Request) -> Response:
        """`key=` and what the table's `select` knows: the rows of a key that may have many, at most MOST_ROWS."""
        table = self._table(request)
        parameters = single_parameters(request, ["key", *table.select_parameters])
        key = _key(parameters)
        select: dict[str, str | int] = {name: value for name, value in parameters.items() if name != "key"}

        def ask() -> dict[str, Any]:
            with self._clients.borrowed() as client:
                found = list(islice(client.rows(table.name, key, select), MOST_ROWS + 1))
            return {"items": msgspec.to_builtins(found[:MOST_ROWS]), "more": len(found) > MOST_ROWS}

        return Response(encode(await to_thread.run_sync(ask)), media_type="application/json")

    async def keys(self, request: Request) -> Response:
        """`prefix=`: the first few keys that begin so, for whoever types one."""
        table = self._table(request)
        prefix = single_parameters(request, ["prefix"]).get("prefix", "")

        def ask() -> list[str]:
            with self._clients.borrowed() as client:
                return [item.key for item in client.scan(table.name, prefix, limit=SUGGESTED)]

        return Response(encode(await to_thread.run_sync(ask)), media_type="application/json")

    def _table(self, request: Request) -> TableSpec[Any]:
        name = request.path_params["table"]
        try:
            return self._topology.table(name)[1]
        except KeyError:
            raise Problem("unknown-table", f"no table is named {name!r}") from None


def _key(parameters: dict[str, str]) -> str:
    if not parameters.get("key"):
        raise Problem("bad-parameter", "which key?", hint="key=…")
    return parameters["key"]
