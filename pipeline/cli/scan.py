"""`statelog scan`: the rows of a table, over all partitions."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.asking import Table, View, asking, simple_fields, table_or_first
from pipeline.cli.options import Run

Prefix = Annotated[str, typer.Option(help="only keys that begin with this")]
Limit = Annotated[int, typer.Option(min=0, help="rows at most; 0 for all")]


def scan(run: Run, prefix: Prefix = "", limit: Limit = 100, table: Table = None, view: View = None) -> None:
    """List rows in key order over all partitions. A partition that cannot answer is an error, not a gap.

    On a pipeline that is being fed, each page of 500 rows is as of its own moment.
    """
    with asking(run) as (client, topology):
        items = client.scan(table_or_first(topology, table), prefix, limit=limit or None, view=view)
        if run.output.as_json:
            run.output.table(({"key": item.key, "value": item.value} for item in items), [])
            return
        rows = [{"key": item.key, **simple_fields(item.value)} for item in items]
    run.output.table(rows, list(dict.fromkeys(column for row in rows for column in row)))
    run.output.say(f"{len(rows):,} rows" + (", and maybe more: --limit 0 lists all" if len(rows) == limit else ""))
