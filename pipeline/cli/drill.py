"""`statelog drill`: faults on request, and the proof that they did no harm."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Run
from pipeline.drill.catalogue import ALL, DRILLS

NAMES = (*DRILLS, ALL)


def _known(name: str | None) -> str | None:
    if name is None or name in NAMES:
        return name
    raise typer.BadParameter(f"{name!r} is none of {', '.join(NAMES)}")


Name = Annotated[
    str | None,
    typer.Argument(metavar=f"[{'|'.join(NAMES)}]", callback=_known, show_default=False, help="which; none: list them"),
]
Times = Annotated[
    int | None, typer.Option(min=1, max=1_000, help="how often the fault comes; none: as often as the list says")
]
Devices = Annotated[int, typer.Option(min=50, max=1_000_000, help="how many devices there are")]
Seed = Annotated[int, typer.Option(min=0, help="the same seed makes the same telemetry")]
Rate = Annotated[float, typer.Option(min=100, max=200_000, help="messages a second")]
Count = Annotated[
    int, typer.Option(min=1_000, help="messages at the least; the input goes on until the faults are over")
]


def drill(
    run: Run,
    name: Name = None,
    times: Times = None,
    devices: Devices = 300,
    seed: Seed = 0,
    rate: Rate = 1_000,
    count: Count = 10_000,
) -> None:
    """Provoke a fault in a small real pipeline under load, wait until it has recovered, and prove that it did no harm.

    Without a name it lists the drills. Everything is real: Kafka, four worker processes, RocksDB. Without
    --bootstrap-servers it brings a Kafka of its own; on another it works under a prefix of its own, and deletes its
    topics and groups at the end. It leaves no process and no file behind. Exit 3 when an invariant fails.
    """
    if name is None:
        rows = [{"drill": each.name, "times": each.times, "shows": each.shows} for each in DRILLS.values()]
        run.output.table(rows, ["drill", "times", "shows"])
        run.output.say("statelog drill NAME runs one, statelog drill all one after the other")
        return

    from pipeline.cli.rehearsing import telling_of
    from pipeline.drill.run import Order
    from pipeline.drill.run import run as run_drills

    chosen = list(DRILLS.values()) if name == ALL else [DRILLS[name]]
    run.output.say(f"statelog drill {name}: {devices:,} devices, {rate:,.0f} messages a second, seed {seed}")
    with telling_of(run) as telling:
        telling.end(run_drills(run.settings, chosen, Order(times, devices, seed, rate, count), telling))
