"""`statelog rebuild` and `statelog reset`: state anew, from the changelogs, from the source, or from nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.confirming import confirm
from pipeline.cli.options import Run

if TYPE_CHECKING:
    from pipeline.rebuilding import Rebuilding

FromSource = Annotated[
    bool, typer.Option("--from-source", help="fold the source topic again, into changelogs made anew")
]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]


def rebuild(run: Run, from_source: FromSource = False, yes: Yes = False) -> None:
    """Delete the stores under --data-dir, so that workers restore them; their workers must be stopped.

    With --from-source the changelogs go too, on the cluster, and every worker of the pipeline folds the source again
    from its beginning: the way out when the changelog no longer holds what was committed.
    """
    with _rebuilding(run) as rebuilding:
        stages = rebuilding.topology.aggregates
        if from_source:
            missing = rebuilding.missing_from_sources(stages)
            for partition, count in missing.items():
                run.output.say(f"{partition.topic}/{partition.partition} no longer holds its first {count:,} offsets")
            consequence = "outputs that were sent before come once more"
            if missing:
                consequence += ", and the state will be that of the records that are left"
            confirm(f"make the changelogs anew and fold the source again? {consequence}", yes=yes)
            topics = rebuilding.from_source(stages)
        else:
            confirm(f"delete the stores under {run.settings.data_dir}?", yes=yes)
            topics = []
        dropped = [str(path) for path in rebuilding.drop_stores(stages)]
    run.output.record({"topics_made_anew": topics, "stores_deleted": dropped})
    run.output.say("start the workers: they restore what is missing")


def reset(run: Run, yes: Yes = False) -> None:
    """Start the whole pipeline from nothing: what it wrote is deleted, and its first topic read from the beginning.

    The topics that come from outside stay as they are. Every worker must be stopped.
    """
    with _rebuilding(run) as rebuilding:
        confirm("delete readings, outputs, dead letters, changelogs and the stores under "
                 f"{run.settings.data_dir}?", yes=yes)  # fmt: skip
        topics = rebuilding.from_nothing()
        dropped = [str(path) for path in rebuilding.drop_stores(rebuilding.topology.aggregates)]
    run.output.record({"topics_made_anew": topics, "stores_deleted": dropped})


@contextmanager
def _rebuilding(run: Run) -> Iterator[Rebuilding]:
    from pipeline.log.kafka import connect
    from pipeline.rebuilding import Rebuilding
    from pipeline.runtime.start import load_topology

    log = connect(run.settings)
    admin = log.admin()
    try:
        yield Rebuilding(run.settings, load_topology(run.settings), log, admin)
    finally:
        admin.close()
