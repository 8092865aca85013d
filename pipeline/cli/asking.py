"""What the commands that ask workers have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import Run
from pipeline.errors import Misconfigured

if TYPE_CHECKING:
    from operators.topology import Topology
    from pipeline.client import Client

Table = Annotated[str | None, typer.Option(help="the table; none: the first of the topology")]
View = Annotated[str | None, typer.Option(help="another way to show a row, of those that the table has")]
StageOption = Annotated[str | None, typer.Option(help="the aggregate stage; none: all of them")]


@contextmanager
def asking(run: Run) -> Iterator[tuple[Client, Topology]]:
    """A client of the pipeline that the settings name. Raises Misconfigured."""
    from pipeline.client import Client
    from pipeline.runtime.start import load_topology

    topology = load_topology(run.settings)
    with Client.connect(run.settings, topology) as client:
        yield client, topology


def table_or_first(topology: Topology, table: str | None) -> str:
    """The table asked for, or the topology's first one. Raises Misconfigured when it has none."""
    if table is not None:
        return table
    for stage in topology.aggregates:
        for spec in stage.tables:
            return spec.name
    raise Misconfigured(f"topology {topology.name!r} has no tables", hint="only aggregate stages keep any")


def simple_fields(value: Any) -> Mapping[str, Any]:
    """What of a shown row fits into cells: its fields that hold no others, or the value itself."""
    if not isinstance(value, Mapping):
        return {"value": value}
    return {str(name): each for name, each in value.items() if not isinstance(each, dict | list)}
