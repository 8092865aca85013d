"""How far one broker and this machine carry: workers by partitions of the shipped topology, each result checked.

    python -m benchmarks.scale [--records N] [--devices N] [--workers N…] [--partitions N…] [--rounds N] [--json]

By default 1 to 4 workers at 8 partitions, and 1 to 32 partitions with 2 workers; with `--workers` or `--partitions`,
every combination of what they name (`--workers 1 2 3 4 --partitions 1 2 4 8 16 32` is the whole grid). Beside them,
consumers that only count. In each run the workers join, share the partitions out and fold a few readings; then they are
stopped (SIGSTOP), the source is filled, and the time goes from SIGCONT to the commit of the last reading. Rounds are
interleaved. Takes the Kafka of STATELOG_BOOTSTRAP_SERVERS, else an embedded one, whose CPU is then measured too.
Figures go to `benchmarks/results/scale`, for `python -m benchmarks.scale_report`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.consumers import ceiling
from benchmarks.dataset import Dataset, Source
from benchmarks.latency import messages_for
from benchmarks.machine import description
from benchmarks.measure import Figures, Ground, WrongResult, jobs_of, written
from benchmarks.peers.api import Command, Job
from benchmarks.peers.statelog import Statelog
from benchmarks.process import Moment, PeerFailed, PeerProcess
from benchmarks.reading import GroupWatch
from benchmarks.streams import Stream
from benchmarks.suite import ground, keep
from benchmarks.workloads import DEVICES, Checker
from operators.normalise import READINGS
from pipeline.telemetry.poison import Message

RESULTS: Final = Path(__file__).parent / "results" / "scale"
WORKERS: Final = (1, 2, 3, 4)
PARTITIONS: Final = (1, 2, 4, 8, 16, 32)
_AT_WORKERS: Final = 2
_AT_PARTITIONS: Final = 8
_WARM_UP: Final = 4_000
"""Readings that are folded before the time begins: enough for each of 32 partitions to get some."""
_CEILING_TIMES: Final = 4
"""A consumer that only counts gets the readings so many times, or it would be done at once."""
_POLL_S: Final = 0.02
_PATIENCE_S: Final = 120.0
_SLOWEST: Final = 1_000
_SETTINGS: Final = {"session_timeout_ms": 30_000, "transaction_timeout_ms": 25_000}
"""A worker that is stopped while the source is filled stays a member. All else is as shipped."""


class Cell(NamedTuple):
    workers: int
    partitions: int

    @property
    def at_work(self) -> int:
        """Those beyond the number of partitions would hold nothing, and are not started."""
        return min(self.workers, self.partitions)

    def __str__(self) -> str:
        return f"{self.workers} workers, {self.partitions} partitions"


def cells_of(workers: Sequence[int] | None, partitions: Sequence[int] | None) -> list[Cell]:
    """Two lines through the grid, or all of what is named."""
    if workers or partitions:
        return [Cell(one, other) for other in partitions or PARTITIONS for one in workers or WORKERS]
    across = [Cell(each, _AT_PARTITIONS) for each in WORKERS]
    along = [Cell(_AT_WORKERS, each) for each in PARTITIONS]
    return list(dict.fromkeys([*across, *along]))


class Scale:
    """One run of everything that was asked for."""

    def __init__(self, where: Ground, messages: Sequence[Message]) -> None:
        self._ground = where
        self._messages = messages
        self.checkers: dict[int, Checker] = {}
        """By number of partitions."""

    def run(self, cell: Cell) -> Figures:
        """Raises PeerFailed, WrongResult."""
        source, peer = Source(self._ground.servers, READINGS, cell.partitions), Statelog("scale", settings=_SETTINGS)
        try:
            with jobs_of(peer, DEVICES, [source]) as (job,), ExitStack() as stack:
                stack.callback(_wait_for_none, peer, job)
                processes: list[PeerProcess] = []
                for each in self._processes(peer, job, cell.at_work):
                    processes.append(stack.enter_context(each))
                    stack.callback(_leave, each)
                _wait_for_all(processes, peer, job, cell)
                source.fill([list(self._messages[:_WARM_UP])])
                self._until_committed(processes, peer, job)
                _wait_for_all(processes, peer, job, cell)
                for process in processes:
                    process.pause()
                source.fill([list(self._messages[_WARM_UP:])])
                began = [process.moment() for process in processes]
                for process in processes:
                    process.go_on()
                self._until_committed(processes, peer, job)
                done = [process.moment() for process in processes]
                peak = sum(process.peak_rss_mb() for process in processes)
                stack.pop_all().close()
                self._check(peer, job)
                return Figures(
                    records=len(self._messages) - _WARM_UP,
                    seconds=done[0].at - began[0].at,
                    cpu_s=sum(end.cpu_s - start.cpu_s for start, end in zip(began, done, strict=True)),
                    broker_cpu_s=_broker_cpu_s(began[0], done[0]),
                    peak_rss_mb=peak,
                    changelog_bytes=written(self._ground, peer.changelogs(job)),
                    output_bytes=written(self._ground, peer.outputs(job)),
                )
        finally:
            source.remove()

    def _processes(self, peer: Statelog, job: Job, workers: int) -> Iterator[PeerProcess]:
        command = peer.command([job])
        for number in range(workers):
            directory = job.directory / str(number)
            directory.mkdir()
            environment = {**command.environment, "STATELOG_DATA_DIR": str(directory)}
            log = job.directory.parent / f"log-{number}"
            yield PeerProcess(Command(command.arguments, environment), log, self._ground.broker_pid)

    def _until_committed(self, processes: Sequence[PeerProcess], peer: Statelog, job: Job) -> None:
        ends = job.source.ends()
        watch = GroupWatch(job.servers, peer.group(job), ends)

        def all_committed() -> bool:
            time.sleep(_POLL_S)
            return watch.left() <= 0

        try:
            processes[0].until(all_committed, "all is committed", _PATIENCE_S + sum(ends.values()) / _SLOWEST)
        finally:
            watch.close()

    def _check(self, peer: Statelog, job: Job) -> None:
        """The oracle is asked once for each number of partitions: the readings are the same each time."""
        if job.source.partitions not in self.checkers:
            checker = Checker(_Filled(job.source))
            checker.expected(DEVICES)
            self.checkers[job.source.partitions] = checker
        if lines := self.checkers[job.source.partitions].differences(DEVICES, peer.found(job)):
            raise WrongResult("\n".join(lines))

    @contextmanager
    def to_be_counted(self) -> Iterator[Source]:
        """A topic for consumers that only count."""
        source = Source(self._ground.servers, READINGS, _AT_PARTITIONS)
        try:
            source.fill([list(self._messages)] * _CEILING_TIMES)
            yield source
        finally:
            source.remove()


class _Filled(Dataset):
    """A source that is there already."""

    def __init__(self, source: Source) -> None:
        self.partitions = source.partitions
        self.__dict__["readings"] = source


def _wait_for_none(peer: Statelog, job: Job) -> None:
    """A member that has left in the middle of a rebalance may stay until its session ends."""
    deadline = time.monotonic() + _PATIENCE_S
    while job.source.admin.members(peer.group(job)) and time.monotonic() < deadline:
        time.sleep(0.1)


def _leave(process: PeerProcess) -> None:
    """Whatever has happened to it: a group that still has members cannot be deleted."""
    process.go_on()
    with suppress(PeerFailed):
        process.stop()


def _broker_cpu_s(began: Moment, done: Moment) -> float | None:
    if began.broker_cpu_s is None or done.broker_cpu_s is None:
        return None
    return done.broker_cpu_s - began.broker_cpu_s


def _wait_for_all(processes: Sequence[PeerProcess], peer: Statelog, job: Job, cell: Cell) -> None:
    """Until the partitions are shared out evenly, and stay so."""
    since = 0.0

    def shared_out() -> bool:
        nonlocal since
        time.sleep(0.1)
        held = [len(member.partitions) for member in job.source.admin.members(peer.group(job))]
        even = len(held) == cell.at_work and sum(held) == cell.partitions and max(held) - min(held) <= 1
        since = since or time.monotonic() if even else 0.0
        return even and time.monotonic() - since > 1.0

    processes[0].until(shared_out, f"the partitions are shared out: {cell}", _PATIENCE_S)


def measure(where: Ground, stream: Stream, cells: Sequence[Cell], rounds: int, say: Console) -> Mapping[str, Any]:
    """Runs, consumers that only count, and what failed."""
    runs: list[dict[str, Any]] = []
    ceilings: list[dict[str, Any]] = []
    failures: list[str] = []
    consumers = sorted({cell.workers for cell in cells})
    columns = (*Progress.get_default_columns()[:2], TextColumn("{task.completed}/{task.total}"))
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=say))
        task = progress.add_task("making the readings", total=rounds * (len(cells) + len(consumers)))
        scale = Scale(where, messages_for(READINGS, stream))
        counted = stack.enter_context(scale.to_be_counted())
        for number in range(rounds):
            # Each round begins elsewhere, so that no cell always follows the same one.
            for cell in [*cells[number % len(cells) :], *cells[: number % len(cells)]]:
                progress.update(task, description=str(cell))
                try:
                    figures = scale.run(cell)
                except (WrongResult, PeerFailed) as error:
                    failures.append(f"round {number + 1}, {cell}: {error}")
                    say.print(failures[-1], style="red", markup=False)
                else:
                    runs.append({**cell._asdict(), "round": number, **figures.as_json()})
                    _tell(say, str(cell), figures)
                progress.advance(task)
            for count in consumers:
                progress.update(task, description=f"{count} consumers")
                figures = ceiling(counted, count, where)
                ceilings.append({"consumers": count, "round": number, **figures.as_json()})
                _tell(say, f"{count} consumers that only count", figures)
                progress.advance(task)
    return {"runs": runs, "ceilings": ceilings, "failures": failures}


def _tell(say: Console, what: str, figures: Figures) -> None:
    million = figures.records / 1e6
    broker = "" if figures.broker_cpu_s is None else f", of the broker {figures.broker_cpu_s / million:.2f}"
    rate = figures.records / figures.seconds
    say.print(f"{what}: {rate:,.0f} events/s, CPU s a million {figures.cpu_s / million:.2f}{broker}", highlight=False)


def main(command: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--workers", type=int, nargs="+")
    parser.add_argument("--partitions", type=int, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the figures instead of keeping them")
    arguments = parser.parse_args(command)
    say = Console(stderr=True, soft_wrap=True)
    began = datetime.now(UTC)
    stream = Stream(arguments.devices, "uniform", arguments.records + _WARM_UP)
    cells = cells_of(arguments.workers, arguments.partitions)
    with ground() as where:
        found = measure(where, stream, cells, arguments.rounds, say)
    report = {
        "date": began.isoformat(timespec="seconds"),
        "minutes": round((datetime.now(UTC) - began).total_seconds() / 60, 1),
        "machine": description(),
        "records": arguments.records,
        "devices": arguments.devices,
        "rounds": arguments.rounds,
        **found,
    }
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        keep(report, RESULTS, began, say)
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
