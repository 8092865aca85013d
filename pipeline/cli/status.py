"""`statelog status`: every partition, who owns it and how far it is."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.asking import StageOption, asking
from pipeline.cli.options import Run
from pipeline.cli.skew import show_skew
from pipeline.errors import Misconfigured

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.client import Client, PartitionRow

COLUMNS = ("partition", "owner", "state", "position", "end", "rate", "eta_s", "digest", "stage", "standbys")
STYLES = {"active": "green", "restoring": "yellow", "stale": "red", "unreachable": "red", "unassigned": "red"}
BAR_WIDTH = 24

Watch = Annotated[bool, typer.Option("--watch", help="go on until interrupted")]
Skew = Annotated[bool, typer.Option("--skew", help="which partitions and which keys are hot, instead")]
Prefix = Annotated[str, typer.Option(help="with --skew, only keys that begin with this")]
Keys = Annotated[int, typer.Option(min=1, max=1000, help="with --skew, how many keys; with --json, of each partition")]
Every = Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="how often --watch looks")]


def status(
    run: Run,
    watch: Watch = False,
    every: Every = 1.0,
    stage: StageOption = None,
    skew: Skew = False,
    prefix: Prefix = "",
    keys: Keys = 10,
) -> None:
    """Show every partition: owner, state, position, end, rate, time left, standbys; bars for those being restored.

    Positions are of the stage's source; of the changelogs while restoring. A digest is what `verify` gives.
    """
    if skew and watch:
        raise Misconfigured("--skew is of the last one to two minutes", hint="leave --watch out")
    if prefix and not skew:
        raise Misconfigured("--prefix is for --skew alone", hint="statelog scan --prefix lists rows")
    with asking(run) as (client, _):
        if skew:
            show_skew(run, client, stage, prefix, keys)
            return
        if not watch:
            run.output.table([_fields(row) for row in client.status(stage)], COLUMNS)
            return
        try:
            _watch(run, client, stage, every)
        except KeyboardInterrupt:
            return


def _fields(row: PartitionRow) -> dict[str, Any]:
    fields = {name: getattr(row, name) for name in COLUMNS} | {"standbys": _standbys(row)}
    return {name: round(value, 1) if isinstance(value, float) else value for name, value in fields.items()}


def _standbys(row: PartitionRow) -> dict[str, int | None] | None:
    """By worker, how many records its standby is behind; None for one that is in mid-restore, or of unknown lag."""
    lags = {
        each.worker: None if each.restoring or each.end is None else max(each.end - each.position, 0)
        for each in row.standbys
    }
    return lags or None


def _watch(run: Run, client: Client, stage: str | None, every: float) -> None:
    if run.output.as_json or not sys.stdout.isatty():
        while True:
            run.output.table([_fields(row) for row in client.status(stage)], COLUMNS)
            time.sleep(every)
    from rich.live import Live

    with Live(_drawn(client.status(stage)), auto_refresh=False) as live:
        while True:
            time.sleep(every)
            live.update(_drawn(client.status(stage)), refresh=True)


def _drawn(rows: list[PartitionRow]) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("partition", "position", "end", "rate", "left"):
        table.add_column(name, justify="right")
    for name in ("state", "", "owner", "stage", "standbys"):
        table.add_column(name)
    for row in rows:
        restoring = row.state == "restoring"
        table.add_row(
            str(row.partition),
            _count(row.position),
            _count(row.end),
            "-" if row.rate is None else f"{row.rate:,.0f}/s",
            "-" if row.eta_s is None else f"{row.eta_s:,.0f} s",
            Text(row.state, style=STYLES.get(row.state, "")),
            ProgressBar(row.end or 0, row.position or 0, BAR_WIDTH) if restoring else "",
            Text(row.owner or "-"),
            Text(row.stage),
            Text(", ".join(f"{worker} -{_count(lag)}" for worker, lag in (_standbys(row) or {}).items())),
        )
    return table


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
