"""All peers side by side: the same broker, records and work, each result checked before its time counts.

    python -m benchmarks.suite [--records N] [--devices N…] [--keys uniform|zipf…] [--work a…] [--peers NAME…]
                               [--rounds N] [--latency-s SECONDS] [--latency-rate N] [--json]

Rounds are interleaved: each has every peer once, one after the other, each alone. Before the first one they work once
for nothing, so that none pays for the broker's warm-up. Takes the Kafka of
STATELOG_BOOTSTRAP_SERVERS, else an embedded one, whose CPU and disk are then measured too. Writes its figures to
`benchmarks/results`, for `python -m benchmarks.report`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from benchmarks import latency
from benchmarks.dataset import Dataset
from benchmarks.machine import description
from benchmarks.measure import Figures, Ground, WrongResult, run
from benchmarks.peers.api import Peer, Unavailable
from benchmarks.peers.registry import DEFAULT, PEERS, SLOW, VARIANTS
from benchmarks.process import PeerFailed
from benchmarks.streams import Keys, Stream
from benchmarks.workloads import WORKLOADS, Checker, Workload
from pipeline.broker import EmbeddedBroker

RESULTS = Path(__file__).parent / "results"
_LEAST_RECORDS = 5_000
"""However slow a peer is."""


class Cell(NamedTuple):
    """What is measured together: one kind of work over one kind of stream."""

    work: Workload
    devices: int
    keys: Keys
    peers: frozenset[str]
    """Who takes part."""

    def __str__(self) -> str:
        return f"{self.work.letter}, {self.devices:,} devices, {self.keys}"


def default_cells() -> list[Cell]:
    """All the work on 10,000 devices with uniform keys; what is shipped, (d), on the other three kinds of stream.

    Every peer is in (d); variants of one peer only there, and slow peers only where devices are few and keys uniform,
    for the sake of time.
    """
    every = frozenset(DEFAULT)
    cells = [Cell(WORKLOADS[work], 10_000, "uniform", every - VARIANTS) for work in "abc"]
    cells.append(Cell(WORKLOADS["d"], 10_000, "uniform", every))
    others: list[tuple[int, Keys]] = [(10_000, "zipf"), (1_000_000, "uniform"), (1_000_000, "zipf")]
    return cells + [Cell(WORKLOADS["d"], *other, every - VARIANTS - SLOW) for other in others]


class Suite:
    """One run of everything that was asked for."""

    def __init__(self, ground: Ground, peers: Sequence[Peer], records: int, say: Console) -> None:
        self._ground = ground
        self._peers = peers
        self._records = records
        self._say = say
        self._datasets: dict[Stream, tuple[Dataset, Checker]] = {}
        self.runs: list[dict[str, Any]] = []
        self.latencies: list[dict[str, Any]] = []
        self.failures: list[str] = []

    def warm_broker(self, cell: Cell) -> None:
        """Work that does not count: the broker is a JVM too, and who comes first would pay for its compilation."""
        for peer in self._peers:
            if peer.name in cell.peers and peer.share == 1:
                # Who fails says so in a round that counts.
                with self._say.status(f"warming the broker · {peer.name}"), suppress(WrongResult, PeerFailed):
                    self._work(cell, peer)

    def measure(self, cells: Sequence[Cell], rounds: int) -> None:
        """Cells of one stream stand together, so that its topics are there only as long as they are read."""
        by_stream: defaultdict[tuple[int, Keys], list[Cell]] = defaultdict(list)
        for cell in cells:
            by_stream[cell.devices, cell.keys].append(cell)
        for together in by_stream.values():
            for number in range(rounds):
                for cell in together:
                    for peer in _turned(self._peers, number):
                        if peer.name in cell.peers:
                            self._run(cell, peer, number, rounds)
            for dataset, _ in self._datasets.values():
                dataset.remove()
            self._datasets.clear()

    def _run(self, cell: Cell, peer: Peer, number: int, rounds: int) -> None:
        where = f"round {number + 1}/{rounds} · {cell} · {peer.name}"
        with self._say.status(where):
            try:
                passes = self._work(cell, peer)
            except (WrongResult, PeerFailed) as error:
                self.failures.append(f"{where}: {error}")
                self._say.print(f"{where}: [red]failed[/]", highlight=False)
                self._say.print(str(error), style="red", markup=False)
                return
        for place, figures in enumerate(passes):
            warmth = _warmth(peer, place)
            self.runs.append(
                {
                    "work": cell.work.letter,
                    "devices": cell.devices,
                    "keys": cell.keys,
                    "peer": peer.name,
                    "warmth": warmth,
                    "round": number,
                    **figures.as_json(),
                }
            )
            rate = figures.records / figures.seconds
            self._say.print(
                f"{where}{f' {warmth}' if warmth else ''}: [bold]{rate:,.0f}[/] events/s, "
                f"{figures.cpu_s / figures.records * 1e6:.2f} CPU s a million",
                highlight=False,
            )

    def _work(self, cell: Cell, peer: Peer) -> list[Figures]:
        """Of each pass. Raises WrongResult, PeerFailed."""
        dataset, checker = self._dataset(Stream(cell.devices, cell.keys, self._records_of(peer, cell)))
        return run(peer, cell.work, dataset.source(cell.work.source), checker, self._ground)

    def _records_of(self, peer: Peer, cell: Cell) -> int:
        """Twice as many for a million devices, or most of them would be met only once."""
        records = self._records * (2 if cell.devices > self._records // 2 else 1)
        return max(min(_LEAST_RECORDS, records), int(records * peer.share))

    def _dataset(self, stream: Stream) -> tuple[Dataset, Checker]:
        if stream not in self._datasets:
            dataset = Dataset(self._ground.servers, stream)
            self._datasets[stream] = dataset, Checker(dataset)
        return self._datasets[stream]

    def measure_latency(self, works: Sequence[Workload], devices: int, seconds: float, fixed: float | None) -> None:
        """At half of the rate that each peer has just shown, or at the same fixed one for all."""
        for work in works:
            for peer in self._peers:
                shown = self._rate(work, peer)
                if shown is None or peer.name == "ceiling":
                    continue
                rate = fixed or shown / 2
                where = f"latency · {work.letter} · {peer.name} at {rate:,.0f}/s"
                with self._say.status(where):
                    try:
                        found = latency.measure(peer, work, devices, rate, seconds, self._ground)
                    except PeerFailed as error:
                        self.failures.append(f"{where}: {error}")
                        self._say.print(f"{where}: [red]failed[/]", highlight=False)
                        self._say.print(str(error), style="red", markup=False)
                        continue
                self.latencies.append({"work": work.letter, "peer": peer.name, "rate": rate, **found})
                self._say.print(
                    f"{where}: p50 {found['p50_ms']:,.0f} ms, p99 {found['p99_ms']:,.0f} ms", highlight=False
                )

    def _rate(self, work: Workload, peer: Peer) -> float | None:
        warmth = _warmth(peer, peer.passes - 1)
        rates = [
            run["records"] / run["seconds"]
            for run in self.runs
            if (run["work"], run["peer"], run["warmth"]) == (work.letter, peer.name, warmth)
        ]
        return statistics.median(rates) if rates else None


def _warmth(peer: Peer, place: int) -> str:
    if peer.passes == 1:
        return ""
    return "warm" if place == peer.passes - 1 else "cold"


def _turned(peers: Sequence[Peer], number: int) -> Iterator[Peer]:
    """Each round begins with another peer, so that none always follows the same one."""
    start = number % len(peers)
    yield from [*peers[start:], *peers[:start]]


def available(names: Sequence[str], say: Console) -> tuple[list[Peer], dict[str, str]]:
    """The peers that can run here, installed; and why the others cannot."""
    peers: list[Peer] = []
    skipped: dict[str, str] = {}
    for name in names:
        peer = PEERS[name]
        try:
            with say.status(f"preparing {name}"):
                peer.prepare()
        except Unavailable as reason:
            skipped[name] = str(reason)
            say.print(f"{name} is skipped: {reason}", style="yellow", markup=False)
        else:
            peers.append(peer)
    return peers, skipped


@contextmanager
def ground() -> Iterator[Ground]:
    named = os.environ.get("STATELOG_BOOTSTRAP_SERVERS")
    with ExitStack() as stack:
        if named:
            yield Ground(named, None)
        else:
            # As a broker that is here to stay: the embedded one's options favour a quick start.
            # Members that come one after the other begin together, as with Kafka's own default of 3 s.
            broker = EmbeddedBroker(
                overrides={"group.initial.rebalance.delay.ms": "1000"},
                heap_mb=1024,
                java_options=["-XX:TieredStopAtLevel=4"],
            )
            stack.enter_context(broker)
            yield Ground(broker.bootstrap_servers, broker)


def arguments_of(command: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=500_000, help="of the fastest peers; slow ones get a share")
    parser.add_argument("--devices", type=int, nargs="+", help="10000, 1000000, or any other number")
    parser.add_argument("--keys", choices=["uniform", "zipf"], nargs="+")
    parser.add_argument("--work", choices=list(WORKLOADS), nargs="+")
    parser.add_argument("--peers", choices=list(PEERS), nargs="+", help="these, each at all the work")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency-s", type=float, default=6.0, help="how long latency is measured; 0: not at all")
    parser.add_argument("--latency-rate", type=float, help="events/s for all; none: half of what each has shown")
    parser.add_argument("--json", action="store_true", help="print the figures instead of keeping them")
    return parser.parse_args(command)


def cells_of(arguments: argparse.Namespace) -> list[Cell]:
    """The default ones, or all of what is named."""
    named = frozenset(arguments.peers) if arguments.peers else None
    if not arguments.devices and not arguments.keys:
        cells = [cell._replace(peers=named or cell.peers) for cell in default_cells()]
        return [cell for cell in cells if not arguments.work or cell.work.letter in arguments.work]
    return [
        Cell(WORKLOADS[work], devices, keys, named or frozenset(DEFAULT))
        for devices in arguments.devices or [10_000]
        for keys in arguments.keys or ["uniform"]
        for work in arguments.work or list(WORKLOADS)
    ]


def keep(report: Mapping[str, Any], directory: Path, began: datetime, say: Console) -> None:
    """As a file that is named by its date."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{began:%Y-%m-%dT%H%M}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    say.print(f"figures: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def main(command: Sequence[str] | None = None) -> int:
    arguments = arguments_of(command)
    say = Console(stderr=True, soft_wrap=True)
    began = datetime.now(UTC)
    peers, skipped = available(arguments.peers or DEFAULT, say)
    cells = cells_of(arguments)
    with ground() as where:
        suite = Suite(where, peers, arguments.records, say)
        suite.warm_broker(cells[0])
        suite.measure(cells, arguments.rounds)
        if arguments.latency_s:
            works = [work for work in WORKLOADS.values() if any(cell.work is work for cell in cells)]
            suite.measure_latency(works, cells[0].devices, arguments.latency_s, arguments.latency_rate)
    report = {
        "date": began.isoformat(timespec="seconds"),
        "minutes": round((datetime.now(UTC) - began).total_seconds() / 60, 1),
        "machine": description(),
        "records": arguments.records,
        "rounds": arguments.rounds,
        "peers": {peer.name: {"guarantee": peer.guarantee, "share": peer.share} for peer in peers},
        "skipped": skipped,
        "failures": suite.failures,
        "runs": suite.runs,
        "latencies": suite.latencies,
    }
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        keep(report, RESULTS, began, say)
    return 1 if suite.failures else 0


if __name__ == "__main__":
    sys.exit(main())
