"""One application's workers at one stream: started warm or without a disk, killed, asked, and timed from outside."""

from __future__ import annotations

import http.client
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.large.readings import Fleet
from benchmarks.measure import Ground
from benchmarks.peers.api import Command, Job
from benchmarks.peers.statelog import Statelog
from benchmarks.process import PeerFailed, PeerProcess
from benchmarks.reading import PARTITIONS, GroupWatch
from pipeline.broker.ports import free_port
from tests.oracle.partitioner import partition_for

PATIENCE_S = 120.0
_SLOWEST = 2_000
"""Records a second that are expected at least; what is slower counts as stuck."""
_POLL_S = 0.02

Told = Callable[[float], None]
"""How much is done, in records."""


class Start(NamedTuple):
    """Seconds from the start of a process, by its questions' answers."""

    ready_s: float
    """Until `/readyz` says that all its partitions are active."""
    answer_s: float
    """Until a device of each partition was shown."""


class Restore(NamedTuple):
    """Of a disk that was wiped."""

    records: int
    seconds: float
    """From the first partition that begins to the last that is done."""
    since_start_s: float
    """From the start of the first process to the last partition's end."""
    peak_rss_mb: float
    """Of the largest process."""

    def as_json(self) -> dict[str, Any]:
        return self._asdict()


class Workers:
    """Aggregate workers of the shipped topology with the settings that they have by default, each with an id."""

    def __init__(self, peer: Statelog, job: Job, fleet: Fleet, where: Ground) -> None:
        self._peer, self._job, self._where = peer, job, where
        self._command = peer.command([job])
        self._asked = _a_device_of_each_partition(fleet)
        self.log = job.directory.parent / "log"

    @property
    def directory(self) -> Path:
        return self._job.directory

    @contextmanager
    def running(self, number: int = 1) -> Iterator[tuple[PeerProcess, str]]:
        """The worker of this number, and its address."""
        address = f"127.0.0.1:{free_port()}"
        own = {"STATELOG_ID": f"large-{number}", "STATELOG_HTTP": address}
        arguments = [self._command.arguments[0], "-m", "benchmarks.large.worker"]
        command = Command(arguments, {**self._command.environment, **own})
        with PeerProcess(command, self.log, self._where.broker_pid) as process:
            yield process, address

    def left(self) -> GroupWatch:
        return GroupWatch(self._job.servers, self._peer.group(self._job), self._job.source.ends())

    def drain(self, process: PeerProcess, told: Told) -> None:
        """Until all that is in the source is committed."""
        until_committed(process, self.left(), told)

    def start_up(self, process: PeerProcess, address: str) -> Start:
        """`process` has just been started."""
        began = time.perf_counter()
        asked = ["/readyz", *(f"/v1/device-state/{device}" for device in self._asked)]
        answered: dict[str, float] = {}

        def all_answered() -> bool:
            for path in asked:
                if path not in answered and _answers(address, path):
                    answered[path] = time.perf_counter() - began
            if len(answered) == len(asked):
                return True
            time.sleep(_POLL_S)
            return False

        process.until(all_answered, "it answers", PATIENCE_S)
        return Start(answered.pop("/readyz"), max(answered.values()))

    def restore(self, processes: int, told: Told) -> Restore:
        """By so many workers at once, from an empty disk: as they come back, each to the partitions that it had."""
        with ExitStack() as stack:
            running = [stack.enter_context(self.running(number + 1))[0] for number in range(processes)]
            running[0].until(lambda: self._shares() == [PARTITIONS // processes] * processes, "shared", PATIENCE_S)
            for process in running:
                process.kill()
        shutil.rmtree(self.directory)
        self.directory.mkdir()
        began = time.monotonic()
        with ExitStack() as stack:
            running = [stack.enter_context(self.running(number + 1))[0] for number in range(processes)]
            until_restored(running, PARTITIONS, told)
            found = restore_of(running, began)
            for process in running:
                process.stop()
        return found

    def _shares(self) -> list[int]:
        """How many partitions each member of the group has."""
        time.sleep(_POLL_S)
        return [len(member.partitions) for member in self._job.source.admin.members(self._peer.group(self._job))]

    def leave(self) -> None:
        """Wait until their seats have run out, so that the group can be deleted."""
        deadline = time.monotonic() + PATIENCE_S
        while self._shares() and time.monotonic() < deadline:
            time.sleep(0.5)


def until_committed(process: PeerProcess, watch: GroupWatch, told: Told) -> None:
    total = watch.left()
    told(0)

    def done() -> bool:
        time.sleep(_POLL_S)
        left = watch.left()
        told(total - left)
        return left <= 0

    try:
        process.until(done, "all is committed", PATIENCE_S + total / _SLOWEST)
    finally:
        watch.close()


def until_restored(processes: Sequence[PeerProcess], parts: int, told: Told) -> None:
    """Until so many parts were said to be restored."""

    def done() -> bool:
        time.sleep(_POLL_S)
        told(sum(each.records for process in processes for each in process.restored))
        return sum(len(process.restored) for process in processes) >= parts

    for process in processes:
        process.until(done, "all is restored", 3_600)


def restore_of(processes: Sequence[PeerProcess], began: float) -> Restore:
    parts = [each for process in processes for each in process.restored]
    records = sum(each.records for each in parts)
    if not records:
        raise PeerFailed("nothing was restored")
    ended = max(each.ended for each in parts)
    return Restore(
        records,
        ended - min(each.began for each in parts if each.records),
        ended - began,
        max(process.peak_rss_mb() for process in processes),
    )


def _a_device_of_each_partition(fleet: Fleet) -> list[str]:
    found: dict[int, str] = {}
    for device in range(fleet.devices):
        key = fleet.key(device)
        found.setdefault(partition_for(key, PARTITIONS), key.decode())
        if len(found) == PARTITIONS:
            break
    return list(found.values())


def _answers(address: str, path: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
