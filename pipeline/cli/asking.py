"""What the commands that ask workers have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import Run
from pipeline.cli.output import Output
from pipeline.errors import Misconfigured

if TYPE_CHECKING:
    from operators.topology import Topology
    from pipeline.client import Client, Meta, Page

DEFAULT_WAIT_S = 10.0

Table = Annotated[str | None, typer.Option(help="the table; none: the first of the topology")]
View = Annotated[str | None, typer.Option(help="another way to show a row, of those that the table has")]
StandbyOk = Annotated[
    bool,
    typer.Option(
        "--standby",
        help="standbys may answer while owners cannot, and are named; JSON of lists is then a page a line",
    ),
]
MaxLag = Annotated[
    int | None, typer.Option(min=0, help="refuse an answer that is more records than this behind the source")
]
MinPosition = Annotated[
    str | None,
    typer.Option(
        metavar="PARTITION:OFFSET,…", help="answer once these messages are in, as `produce --json` returns them"
    ),
]
Wait = Annotated[float, typer.Option(min=0, help="seconds to go on asking while there is no answer")]
StageOption = Annotated[str | None, typer.Option(help="the aggregate stage; none: all of them")]

SETTINGS = ("http_ca_file", "http_token_file")
"""How the workers are asked."""


@contextmanager
def asking(run: Run, wait_s: float = DEFAULT_WAIT_S) -> Iterator[tuple[Client, Topology]]:
    """A client of the pipeline that the settings name. Raises Misconfigured."""
    from pipeline.client import Client
    from pipeline.runtime.start import load_topology

    topology = load_topology(run.settings)
    with Client.connect(run.settings, topology, patience_s=wait_s) as client:
        yield client, topology


def table_or_first(topology: Topology, table: str | None) -> str:
    """The table asked for, or the topology's first one. Raises Misconfigured when it has none."""
    if table is not None:
        return table
    for stage in topology.aggregates:
        for spec in stage.tables:
            return spec.name
    raise Misconfigured(f"topology {topology.name!r} has no tables", hint="only aggregate stages keep any")


def who_answered(meta: Meta) -> str:
    """Who an answer is from, and as of when."""
    lag = "unknown" if meta.lag is None else f"{meta.lag.records:,} records, as of {meta.lag.age_s:.1f} s ago"
    who = f"{meta.served_by} on {meta.worker or meta.owner}"
    return f"{who}, partition {meta.partition} at {meta.position:,}; lag {lag}"


def print_pages(output: Output, pages: Iterable[Page]) -> None:
    """A JSON line a page, as workers give it: rows alone would not tell which of them are a standby's."""
    import msgspec

    for page in pages:
        output.record(msgspec.to_builtins(page))


def say_who_stood_in(output: Output, pages: Iterable[Page]) -> None:
    """For people: each partition that a standby answered for, at the earliest position that a page of it had."""
    from pipeline.query.wire import STANDBY

    metas = [meta for page in pages for meta in page.meta if meta.served_by == STANDBY]
    earliest = {meta.partition: meta for meta in sorted(metas, key=lambda meta: meta.position or 0, reverse=True)}
    for partition in sorted(earliest):
        output.say(who_answered(earliest[partition]))


def simple_fields(value: Any) -> Mapping[str, Any]:
    """What of a shown row fits into cells: its fields that hold no others, or the value itself."""
    if not isinstance(value, Mapping):
        return {"value": value}
    return {str(name): each for name, each in value.items() if not isinstance(each, dict | list)}
