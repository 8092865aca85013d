"""`statelog tradeoff`: the same topology with its state in four places, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import Run

PLACES = ("rocksdb", "memory", "redis", "recomputed")


def _known(places: list[str] | None) -> list[str] | None:
    for place in places or []:
        if place not in PLACES:
            raise typer.BadParameter(f"{place!r} is none of {', '.join(PLACES)}")
    return places


Places = Annotated[
    list[str] | None,
    typer.Argument(metavar=f"[{'|'.join(PLACES)}]...", callback=_known, show_default=False, help="which; none: all"),
]
Readings = Annotated[int, typer.Option(min=1_000, help="in the log before the first worker starts")]
Devices = Annotated[int, typer.Option(min=50, max=1_000_000, help="how many devices there are")]
Rate = Annotated[float, typer.Option(min=100, max=100_000, help="readings a second, once those are folded")]
Seconds = Annotated[float, typer.Option(min=1, help="at that rate, to measure latencies and traffic")]
Kills = Annotated[int, typer.Option(min=0, max=100, help="kills -9 of each worker")]
Seed = Annotated[int, typer.Option(min=0, help="the same seed makes the same readings")]
RedisUrl = Annotated[
    str | None,
    typer.Option("--redis-url", envvar="STATELOG_REDIS_URL", show_envvar=False, show_default=False,
                 help="a Redis to measure with; none: a redis-server, or a container, of its own (STATELOG_REDIS_URL)"),
]  # fmt: skip
Plot = Annotated[
    Path | None, typer.Option(metavar="FILE", show_default=False, help="draw the table too: .svg, .png or .pdf")
]


def tradeoff(
    run: Run,
    places: Places = None,
    readings: Readings = 300_000,
    devices: Devices = 5_000,
    rate: Rate = 2_000,
    seconds: Seconds = 8,
    kills: Kills = 3,
    seed: Seed = 0,
    redis_url: RedisUrl = None,
    plot: Plot = None,
) -> None:
    """Measure the same topology with its state in RocksDB, in memory, in Redis, and recomputed on each question.

    Each place gets the same readings, kills and questions, and what it holds in the end is held against an account
    apart. Without --bootstrap-servers it brings a Kafka of its own; on another it works under a prefix of its own, and
    deletes its topics and groups at the end. It leaves no process and no file behind. Exit 3 when a place that has to
    be exact is not.
    """
    from pipeline.cli.rehearsing import telling_of
    from pipeline.tradeoff.order import Order
    from pipeline.tradeoff.places import Place
    from pipeline.tradeoff.run import run as measure

    chosen = [Place(each) for each in PLACES if not places or each in places]
    order = Order(readings, devices, rate, seconds, kills, seed)
    run.output.say(
        f"statelog tradeoff: {readings:,} readings of {devices:,} devices, then {rate:,.0f} a second, seed {seed}"
    )
    with telling_of(run) as telling:
        telling.end(measure(run.settings, chosen, order, telling, redis_url=redis_url, plot=plot))
