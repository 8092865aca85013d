"""`statelog get`: one row, from the worker that owns it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

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
    simple_fields,
    table_or_first,
    who_answered,
)
from pipeline.cli.options import Run
from pipeline.cli.output import Output
from pipeline.errors import Misconfigured, PipelineError

if TYPE_CHECKING:
    from pipeline.client import Row

Key = Annotated[str, typer.Argument(metavar="KEY", help="the row's key; of the IoT tables: the device id")]

Watch = Annotated[bool, typer.Option("--watch", help="go on with every change, until interrupted")]


def get(
    run: Run,
    key: Key,
    table: Table = None,
    view: View = None,
    standby: StandbyOk = False,
    max_lag: MaxLag = None,
    min_position: MinPosition = None,
    wait: Wait = DEFAULT_WAIT_S,
    watch: Watch = False,
) -> None:
    """Show one row, and who says so: its owner, the position it has folded to, and how far that is behind."""
    if watch and (standby or max_lag is not None or min_position is not None):
        raise Misconfigured("--watch follows the owner", hint="leave --standby, --max-lag and --min-position out")
    with asking(run, wait) as (client, topology):
        name = table_or_first(topology, table)
        if watch:
            for each in client.watch(name, key, view=view):
                _tell(run.output, each)
                run.output.say("")
            return
        row = client.get(name, key, view=view, standby_ok=standby, max_lag=max_lag, min_position=min_position)
    if row is None or row.absent:
        who = "its owner answered" if row is None else who_answered(row.meta)
        raise PipelineError(f"{name} has no row {key}", hint=f"{who}; `statelog scan` lists what there is")
    _tell(run.output, row)


def _tell(output: Output, row: Row) -> None:
    import msgspec

    if output.as_json:
        output.record(msgspec.to_builtins(row))
        return
    if row.absent:
        output.say(f"there is no row {row.key}")
    else:
        _show(output, row.value)
    output.say("")
    output.say(who_answered(row.meta))


def _show(output: Output, value: Any) -> None:
    """Fields below each other; a field that maps names to records becomes a table of its own, a column each."""
    output.record(simple_fields(value))
    if not isinstance(value, Mapping):
        return
    for name, field in value.items():
        if isinstance(field, dict) and field and all(isinstance(each, dict) for each in field.values()):
            records = {str(each): _flat(record) for each, record in field.items()}
            fields = dict.fromkeys(each for record in records.values() for each in record)
            rows = [{name: each, **{title: record.get(each) for title, record in records.items()}} for each in fields]
            output.say("")
            output.table(rows, [name, *records])
        elif isinstance(field, dict | list):
            output.record({name: field})


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with the fields of its records beside its own, as `last.value`."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            flat[name] = value
    return flat
