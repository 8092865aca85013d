"""`statelog topics`: make the pipeline's topics, or say what is amiss with them."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from pipeline.cli.options import Run
from pipeline.errors import ExitCode, Misconfigured

Partitions = Annotated[
    int | None, typer.Option(min=1, max=10_000, help="of telemetry, readings and changelogs; 8 when nothing is there")
]
Retention = Annotated[str, typer.Option(help="how long sources and outputs keep records: 7d, 12h, 30m, 90s, forever")]
Replicas = Annotated[int | None, typer.Option(min=1, help="copies of each; by default 3, or as many as brokers")]


Kind = Annotated[
    str | None, typer.Argument(help="of worker or command: a stage, produce, query, forget, redrive, administer")
]
Principal = Annotated[
    str | None, typer.Option(metavar="User:NAME", help="print kafka-acls commands that grant it all to this one")
]


def create(run: Run, partitions: Partitions = None, retention: Retention = "7d", replicas: Replicas = None) -> None:
    """Make the topics that are missing; the others stay as they are."""
    from pipeline.cli.durations import milliseconds
    from pipeline.log.admin import KafkaAdmin
    from pipeline.runtime.start import load_topology
    from pipeline.topics import TopicPlan

    plan = TopicPlan(load_topology(run.settings), run.settings.prefix, milliseconds(retention))
    admin = KafkaAdmin(run.settings)
    created = set(plan.create(admin, partitions, replicas))
    infos = admin.topics(list(plan.configs))
    rows = [
        {"topic": name, "partitions": info.partitions, "topic_id": info.topic_id, "created": name in created}
        for name, info in infos.items()
    ]
    run.output.table(rows, ["topic", "partitions", "topic_id", "created"])


def check(run: Run) -> None:
    """Say what is amiss with the topics; exit 2 if anything is."""
    from pipeline.log.admin import KafkaAdmin
    from pipeline.runtime.start import load_topology
    from pipeline.topics import TopicPlan

    plan = TopicPlan(load_topology(run.settings), run.settings.prefix)
    mismatches = plan.check(KafkaAdmin(run.settings))
    if run.output.as_json:
        run.output.table([{"mismatch": mismatch} for mismatch in mismatches], ["mismatch"])
    for mismatch in mismatches:
        run.output.say(mismatch)
    if mismatches:
        raise typer.Exit(ExitCode.MISCONFIGURED)
    run.output.say(f"{len(plan.configs)} topics are as they should be")


def acl(run: Run, kind: Kind = None, principal: Principal = None) -> None:
    """Print the least that each kind of worker and command must be allowed to do; nothing is asked or changed.

    `query` is get, scan, windows, status and verify; `administer` is topics create and check, rebuild and reset.
    """
    from pipeline.privileges import privileges
    from pipeline.runtime.start import load_topology

    kinds = privileges(load_topology(run.settings), run.settings.prefix)
    if kind is not None and kind not in kinds:
        raise Misconfigured(f"there is no kind {kind!r}", hint=f"one of {', '.join(kinds)}")
    chosen = {kind: kinds[kind]} if kind else kinds
    if principal is None:
        rows = [{"kind": name, **each._asdict()} for name, rights in chosen.items() for each in rights]
        run.output.table(rows, ["kind", "resource", "name", "prefixed", "operation"])
        return
    if kind is None:
        raise Misconfigured("which kind is to be granted?", hint=f"one of {', '.join(kinds)}")
    for each in kinds[kind]:
        resource = f"--{each.resource.replace('_', '-')} {shlex.quote(each.name)}"
        pattern = " --resource-pattern-type prefixed" if each.prefixed else ""
        operation = each.operation.title().replace("_", "")
        run.output.say(
            f"kafka-acls.sh --bootstrap-server $BROKERS --command-config administrator.properties --add "
            f"--allow-principal {shlex.quote(principal)} --operation {operation} {resource}{pattern}"
        )
