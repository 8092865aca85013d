"""`statelog windows`: a key's closed windows, or those that are still open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.asking import asking
from pipeline.cli.get import Key
from pipeline.cli.options import Run
from pipeline.errors import Misconfigured

if TYPE_CHECKING:
    from pipeline.client import Client

CLOSED_TABLE = "device-windows"
OPEN_TABLE, OPEN_VIEW = "device-state", "open-windows"
"""The IoT topology keeps open windows in the device's own row."""

Metric = Annotated[str | None, typer.Option(help="of this metric only")]
Open = Annotated[bool, typer.Option("--open", help="the windows that still take readings, as they stand")]
From = Annotated[str | None, typer.Option("--from", help="that start then or later: RFC 3339, ms since 1970, or now")]
To = Annotated[str | None, typer.Option("--to", help="that start before then")]
WindowTable = Annotated[
    str | None, typer.Option(help=f"another topology's table of windows, instead of {CLOSED_TABLE}")
]


def windows(
    run: Run,
    key: Key,
    metric: Metric = None,
    open_: Open = False,
    start: From = None,
    stop: To = None,
    table: WindowTable = None,
) -> None:
    """List the windows of a device in the order of their metrics and times."""
    if open_ and (start or stop or table):
        raise Misconfigured("--open lists all open windows", hint="leave --from, --to and --table out")
    with asking(run) as (client, _):
        found = _open(client, key, metric) if open_ else _closed(client, table, key, metric, start, stop)
        run.output.table(found, list(dict.fromkeys(name for row in found for name in row)))
    if not found:
        run.output.say(f"no {'open' if open_ else 'closed'} windows")


def _closed(
    client: Client, table: str | None, key: str, metric: str | None, start: str | None, stop: str | None
) -> list[dict[str, Any]]:
    from pipeline.cli.durations import instant_ms

    select: dict[str, str | int] = {}
    if metric is not None:
        select["metric"] = metric
    if start is not None:
        select["from"] = instant_ms(start)
    if stop is not None:
        select["to"] = instant_ms(stop)
    return [item.value for item in client.rows(table or CLOSED_TABLE, key, select)]


def _open(client: Client, key: str, metric: str | None) -> list[dict[str, Any]]:
    row = client.get(OPEN_TABLE, key, view=OPEN_VIEW)
    return [] if row is None else [window for window in row.value if metric in (None, window["metric"])]
