"""`statelog demo`: the whole story in one terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Run

Readings = Annotated[int, typer.Option(min=2_000, help="how many messages to send, broken ones included")]
Devices = Annotated[int, typer.Option(min=50, max=1_000_000, help="how many devices there are")]
Bad = Annotated[float, typer.Option(min=0, max=20, metavar="PERCENT", help="share of broken messages")]
Seed = Annotated[int, typer.Option(min=0, help="the same seed makes the same telemetry")]
Console = Annotated[bool, typer.Option("--console", help="go on until interrupted, with a page that has buttons")]
Http = Annotated[str, typer.Option(metavar="HOST:PORT", help="where --console serves; port 0: any free")]


def demo(
    run: Run,
    readings: Readings = 200_000,
    devices: Devices = 2_000,
    bad: Bad = 1.0,
    seed: Seed = 0,
    console: Console = False,
    http: Http = "127.0.0.1:0",
) -> None:
    """Kill a worker mid-stream, delete its disk, watch its state come back, and prove that it is the right one.

    Everything is real: Kafka, four worker processes, RocksDB, kill -9. Without --bootstrap-servers it brings a Kafka of
    its own. It leaves no process and no file behind. Exit 3 when a check fails.

    With --console the pipeline goes on, and the buttons of the page do the killing.
    """
    from pipeline.cli.rehearsing import telling_of
    from pipeline.demo.live import live
    from pipeline.demo.plan import load_of
    from pipeline.demo.story import tell
    from pipeline.logging import set_up_logging

    run.output.say(f"statelog demo: {readings:,} readings of {devices:,} devices, {bad:g} % broken, seed {seed}")
    load = load_of(readings, devices, bad, seed)
    with telling_of(run) as telling:
        if console:
            set_up_logging(run.settings.log_format, "warning")  # the story goes on where the log would be
            live(run.settings, load, telling, http)
        tell(run.settings, load, telling)
        telling.end("Proved: nothing lost, nothing doubled, and the state is the same however it came about")
