"""`statelog topics`: make the pipeline's topics, or say what is amiss with them."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Run
from pipeline.errors import ExitCode

Partitions = Annotated[
    int | None, typer.Option(min=1, max=10_000, help="of telemetry, readings and changelogs; 8 when nothing is there")
]
Retention = Annotated[str, typer.Option(help="how long sources and outputs keep records: 7d, 12h, 30m, 90s, forever")]
Replicas = Annotated[int | None, typer.Option(min=1, help="copies of each; by default 3, or as many as brokers")]


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
