"""What many devices cost: throughput, memory, disk, restore and start of one worker, as a curve over their number.

    python -m benchmarks.large_state [--devices N…] [--readings N] [--rounds N] [--no-streams] [--json] [--docs]

At each size: a reading of each device fills the state; the worker is stopped and started; N more readings of all
devices are timed; it is killed at work and started; its stores are checked, device by device; its disk is wiped and
restored, beside Kafka Streams with the same readings. No figure without its check. Takes the Kafka of
STATELOG_BOOTSTRAP_SERVERS, else an embedded one. The figures go to `benchmarks/results`, size by size; `--into` adds
sizes to a file that is there, `--docs` writes table and plot into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.large import report
from benchmarks.large.checks import WrongState
from benchmarks.large.readings import MOST_ROUNDS
from benchmarks.large.scenario import Scenario, Sizes, Stage
from benchmarks.large.streams_peer import Streams
from benchmarks.large.workers import Told
from benchmarks.machine import description
from benchmarks.measure import Ground
from benchmarks.peers.api import Unavailable
from benchmarks.peers.kafka_streams import KafkaStreams
from benchmarks.peers.registry import PEERS
from benchmarks.process import PeerFailed
from benchmarks.suite import RESULTS, ground

DEVICES: Final = (10_000, 100_000, 1_000_000, 10_000_000)
PEER: Final = "kafka-streams-1s"
STARTS: Final = 3


def sizes_of(devices: int, readings: int, rounds: int) -> Sizes:
    """Of few devices fewer readings, lest windows grow so old that they are deleted."""
    fewer = min(readings, devices * MOST_ROUNDS // 4)
    return Sizes(devices, fewer, max(fewer // 4, 1), STARTS, rounds)


def stages(bars: Progress, devices: int) -> Stage:
    """A bar a stage, which stays when it is done, with its time."""

    @contextmanager
    def stage(what: str, records: int) -> Iterator[Told]:
        bar = bars.add_task(f"{devices:,} devices · {what}", total=records or None)
        yield lambda done: bars.update(bar, completed=min(done, records))
        bars.update(bar, total=records or 1, completed=records or 1)
        bars.stop_task(bar)

    return stage


def peer_of(say: Console, where: Ground) -> tuple[Streams | None, str | None]:
    """None, and why, where it cannot run."""
    peer = PEERS[PEER]
    assert isinstance(peer, KafkaStreams)
    try:
        with say.status("preparing Kafka Streams"):
            peer.prepare()
    except Unavailable as reason:
        say.print(f"Kafka Streams is skipped: {reason}", style="yellow", markup=False)
        return None, str(reason)
    return Streams(peer, where), None


def arguments_of(command: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="*", default=list(DEVICES), help="none: only report")
    parser.add_argument("--readings", type=int, default=400_000, help="of the timed ingest; of few devices fewer")
    parser.add_argument("--rounds", type=int, default=2, help="of restores")
    parser.add_argument("--no-streams", action="store_true", help="without Kafka Streams")
    parser.add_argument("--json", action="store_true", help="print the figures instead of keeping them")
    parser.add_argument("--docs", action="store_true", help="write table and plot into the documentation")
    parser.add_argument("--into", type=Path, help="add sizes to this file of figures instead of a new one")
    return parser.parse_args(command)


def main(command: Sequence[str] | None = None) -> int:
    arguments = arguments_of(command)
    say = Console(stderr=True, soft_wrap=True)
    began = datetime.now(UTC)
    figures: dict[str, Any] = {"date": began.isoformat(timespec="seconds"), "machine": description(), "sizes": []}
    path = arguments.into or RESULTS / f"large-state-{began:%Y-%m-%dT%H%M}.json"
    if arguments.into and path.exists():
        figures = json.loads(path.read_text())
    failures: list[str] = []
    for found in measured(arguments, figures, failures, say):
        kept = [each for each in figures["sizes"] if each["devices"] != found["devices"]]
        figures["sizes"] = sorted([*kept, found], key=lambda each: each["devices"])
        if not arguments.json:
            path.write_text(json.dumps(figures, indent=1) + "\n")
    if arguments.json:
        sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    elif figures["sizes"]:
        say.print(f"figures: {path}", highlight=False)
        sys.stdout.write(report.markdown(figures))
        if arguments.docs:
            report.into_docs(figures)
    return 1 if failures else 0


def measured(
    arguments: argparse.Namespace, figures: dict[str, Any], failures: list[str], say: Console
) -> Iterator[dict[str, Any]]:
    """Size by size; what fails is told, and goes to `failures`."""
    if not arguments.devices:
        return
    with ground() as where:
        streams, figures["skipped"] = (None, "--no-streams") if arguments.no_streams else peer_of(say, where)
        for devices in arguments.devices:
            sizes = sizes_of(devices, arguments.readings, arguments.rounds)
            began = time.monotonic()
            with bars_on(say) as bars:
                try:
                    found = Scenario(where, sizes, stages(bars, devices), streams).run()
                except (WrongState, PeerFailed) as error:
                    failures.append(f"{devices:,} devices: {error}")
                    say.print(failures[-1], style="red", markup=False)
                    continue
            yield {**vars(found), "minutes": round((time.monotonic() - began) / 60, 1)}


def bars_on(say: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=say)


if __name__ == "__main__":
    sys.exit(main())
