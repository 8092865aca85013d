"""`statelog demo`: the whole story in one terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Run

Readings = Annotated[int, typer.Option(min=2_000, help="how many messages to send, broken ones included")]
Devices = Annotated[int, typer.Option(min=50, max=1_000_000, help="how many devices there are")]
Bad = Annotated[float, typer.Option(min=0, max=20, metavar="PERCENT", help="share of broken messages")]
Seed = Annotated[int, typer.Option(min=0, help="the same seed makes the same telemetry")]


def demo(run: Run, readings: Readings = 200_000, devices: Devices = 2_000, bad: Bad = 1.0, seed: Seed = 0) -> None:
    """Kill a worker mid-stream, delete its disk, watch its state come back, and prove that it is the right one.

    Everything is real: Kafka, four worker processes, RocksDB, kill -9. Without --bootstrap-servers it brings a Kafka of
    its own. It leaves no process and no file behind. Exit 3 when a check fails.
    """
    from pipeline.cli.rehearsing import telling_of
    from pipeline.demo.plan import load_of
    from pipeline.demo.story import tell

    run.output.say(f"statelog demo: {readings:,} readings of {devices:,} devices, {bad:g} % broken, seed {seed}")
    with telling_of(run) as telling:
        tell(run.settings, load_of(readings, devices, bad, seed), telling)
        telling.end("Proved: nothing lost, nothing doubled, and the state is the same however it came about")
