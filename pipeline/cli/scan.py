"""`statelog scan`: the rows of a table, over all partitions."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.asking import (
    DEFAULT_WAIT_S,
    MaxLag,
    MinPosition,
    StandbyOk,
    Table,
    View,
    Wait,
    asking,
    print_pages,
    say_who_stood_in,
    simple_fields,
    table_or_first,
)
from pipeline.cli.options import Run

Prefix = Annotated[str, typer.Option(help="only keys that begin with this")]
Limit = Annotated[int, typer.Option(min=0, help="rows at most; 0 for all")]


def scan(
    run: Run,
    prefix: Prefix = "",
    limit: Limit = 100,
    table: Table = None,
    view: View = None,
    standby: StandbyOk = False,
    max_lag: MaxLag = None,
    min_position: MinPosition = None,
    wait: Wait = DEFAULT_WAIT_S,
) -> None:
    """List rows in key order over all partitions. A partition that cannot answer is an error, not a gap.

    On a pipeline that is being fed, each page of 500 rows is as of its own moment.
    """
    with asking(run, wait) as (client, topology):
        name = table_or_first(topology, table)
        found = client.pages(name, prefix, limit=limit or None, view=view, standby_ok=standby, max_lag=max_lag,
                             min_position=min_position)  # fmt: skip
        if run.output.as_json and standby:
            print_pages(run.output, found)
            return
        if run.output.as_json:
            run.output.table(({"key": item.key, "value": item.value} for page in found for item in page.items), [])
            return
        pages = list(found)
    rows = [{"key": item.key, **simple_fields(item.value)} for page in pages for item in page.items]
    run.output.table(rows, list(dict.fromkeys(column for row in rows for column in row)))
    run.output.say(f"{len(rows):,} rows" + (", and maybe more: --limit 0 lists all" if len(rows) == limit else ""))
    say_who_stood_in(run.output, pages)
