"""`statelog windows`: a key's closed windows, or those that are still open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.asking import (
    DEFAULT_WAIT_S,
    MaxLag,
    MinPosition,
    StandbyOk,
    Wait,
    asking,
    print_pages,
    say_who_stood_in,
)
from pipeline.cli.get import Key
from pipeline.cli.options import Run
from pipeline.errors import Misconfigured

if TYPE_CHECKING:
    from pipeline.client import Page, Row

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
    standby: StandbyOk = False,
    max_lag: MaxLag = None,
    min_position: MinPosition = None,
    wait: Wait = DEFAULT_WAIT_S,
) -> None:
    """List the windows of a device in the order of their metrics and times."""
    if open_ and (start or stop or table):
        raise Misconfigured("--open lists all open windows", hint="leave --from, --to and --table out")
    with asking(run, wait) as (client, _):
        if open_:
            row = client.get(OPEN_TABLE, key, view=OPEN_VIEW, standby_ok=standby, max_lag=max_lag,
                             min_position=min_position)  # fmt: skip
            pages = _open(row, metric)
        else:
            select = _select(metric, start, stop)
            pages = list(client.pages_of_key(table or CLOSED_TABLE, key, select, standby_ok=standby, max_lag=max_lag,
                                             min_position=min_position))  # fmt: skip
    if run.output.as_json and standby:
        print_pages(run.output, pages)
        return
    found = [item.value for page in pages for item in page.items]
    run.output.table(found, list(dict.fromkeys(name for row in found for name in row)))
    if not found:
        run.output.say(f"no {'open' if open_ else 'closed'} windows")
    say_who_stood_in(run.output, pages)


def _select(metric: str | None, start: str | None, stop: str | None) -> dict[str, str | int]:
    from pipeline.cli.durations import instant_ms

    select: dict[str, str | int] = {}
    if metric is not None:
        select["metric"] = metric
    if start is not None:
        select["from"] = instant_ms(start)
    if stop is not None:
        select["to"] = instant_ms(stop)
    return select


def _open(row: Row | None, metric: str | None) -> list[Page]:
    from pipeline.client import Item, Page

    if row is None:
        return []
    windows = [] if row.absent else [window for window in row.value if metric in (None, window["metric"])]
    return [Page([Item(row.key, window) for window in windows], None, [row.meta])]
