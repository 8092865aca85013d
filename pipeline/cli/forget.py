"""`statelog forget`: delete a key from every table, by the log, and say what is left of it elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.asking import asking
from pipeline.cli.options import Run
from pipeline.errors import Misconfigured

if TYPE_CHECKING:
    from operators.topology import AggregateStage, Topology
    from pipeline.cli.output import Output
    from pipeline.forgetting import Forgetting, Held

DAY_MS = 86_400_000

ForgottenKey = Annotated[str, typer.Argument(metavar="KEY", help="of the IoT tables: the device id")]
Stage = Annotated[str | None, typer.Option(help="the aggregate stage; none: the topology's first")]
Patience = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="how long the owner may take")]


def forget(run: Run, key: ForgottenKey, stage: Stage = None, patience: Patience = 30.0) -> None:
    """Delete a key from every table, wait until its owner has, and say what the topics still hold of it.

    The state goes with a tombstone in the stage's source topic, so that a rebuild forgets it as well. What was sent
    stays in the topics until their retention ends; a changelog keeps old values until it is compacted.
    """
    from pipeline.forgetting import Forgetting
    from pipeline.log.kafka import connect

    with asking(run) as (client, topology):
        log = connect(run.settings)
        admin = log.admin()
        try:
            forgetting = Forgetting(run.settings, topology, _stage(topology, stage), log, admin, key)
            tombstone = forgetting.send()
            owner = forgetting.wait(client, tombstone, patience)
            forgetting.confirm(client)
            run.output.record(
                {
                    "forgotten": key,
                    "owner": owner,
                    "topic": tombstone.partition.topic,
                    "partition": tombstone.partition.partition,
                    "tombstone_offset": tombstone.offset,
                }
            )
            held = [found for topic in forgetting.topics() if (found := _counted(run.output, forgetting, topic))]
        finally:
            admin.close()
    run.output.table([_fields(key, each) for each in held], ["topic", "records", "bytes", "dropped"])
    if any(each.records for each in held):
        run.output.say("these stay until they are dropped, and a replay of them into another pipeline folds them anew")


def _stage(topology: Topology, name: str | None) -> AggregateStage:
    for stage in topology.aggregates:
        if name in (None, stage.name):
            return stage
    names = ", ".join(stage.name for stage in topology.aggregates)
    raise Misconfigured(f"no aggregate stage is named {name!r}", hint=f"there is {names or 'none'}")


def _counted(output: Output, forgetting: Forgetting, topic: str) -> Held | None:
    span = forgetting.span(topic)
    if span is None:
        return None
    with output.progress(f"counting in {topic}", span.end - span.start) as progress:
        return forgetting.held(span, progress.advance)


def _fields(key: str, held: Held) -> dict[str, Any]:
    dropped = "never" if held.retention_ms < 0 else f"{held.retention_ms / DAY_MS:g} days after they came"
    return {
        "key": key,
        "topic": held.topic,
        "records": held.records,
        "bytes": held.bytes,
        "dropped": dropped,
        "retention_ms": held.retention_ms,
    }
