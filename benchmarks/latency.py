"""End-to-end latency under a steady load: from a record's timestamp until a consumer of committed data has its outcome.

Of workload a, each record to its output. Of b, which has no output, each reading to the first changelog row that
includes it. Of c and d, the reading that closes a window to the window's final result.
"""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks.dataset import TELEMETRY, Source
from benchmarks.measure import Ground, jobs_of
from benchmarks.peers.api import Job, Peer
from benchmarks.process import PeerProcess
from benchmarks.reading import PARTITIONS, GroupWatch, committed, partitions_of
from benchmarks.streams import Stream
from benchmarks.workloads import GRACE_MS, NORMALISE, STATISTICS, Workload
from operators.api import Output, Record
from operators.normalise import Normalise
from pipeline.log.api import Message
from pipeline.log.feed import Feed
from pipeline.partitioning import partition_of
from pipeline.telemetry.pace import Pace
from pipeline.telemetry.poison import Message as Sent

_ROUNDS: Final = 20
"""Reports of each gauge, so that windows close."""
_GAUGES: Final = 2.6
"""Of a device, on average."""
_FIRST: Final = 500
"""Records that show that the peer is at work."""
_SETTLING: Final = 0.3
"""Of the records, not counted."""
_QUIET_S: Final = 1.0
_PATIENCE_S: Final = 180.0


class Arrival(NamedTuple):
    at_ms: float
    message: Message


def measure(
    peer: Peer, work: Workload, devices: int, rate: float, seconds: float, ground: Ground
) -> dict[str, float | int]:
    """Percentiles in ms. Raises PeerFailed for a peer that cannot keep up."""
    count = int(rate * seconds) + _FIRST
    devices = max(1, min(devices, int(count / _GAUGES / _ROUNDS)))
    sources = [Source(ground.servers, work.source) for _ in range(peer.passes)]
    try:
        messages = messages_for(work.source, Stream(devices, "uniform", count))
        for source in sources[:-1]:
            source.fill([messages])  # what the warm-up reads
        with jobs_of(peer, work, sources) as jobs:
            job = jobs[-1]
            with PeerProcess(peer.command(jobs), job.directory.parent / "log", ground.broker_pid) as process:
                for each in jobs[:-1]:
                    _drained(process, peer, each)
                    process.next()
                arrivals = _under_load(process, peer, job, messages, rate)
                process.stop()
            latencies = _latencies(peer, job, arrivals)
    finally:
        for source in sources:
            source.remove()
    kept = np.array(latencies[int(len(latencies) * _SETTLING) :])
    return {
        "events": len(kept),
        "devices": devices,
        "p50_ms": round(float(np.percentile(kept, 50)), 1),
        "p99_ms": round(float(np.percentile(kept, 99)), 1),
        "max_ms": round(float(kept.max()), 1),
    }


def messages_for(source: str, stream: Stream) -> list[Sent]:
    """Telemetry, or the readings that it becomes; by a worker whose telemetry has the id `telemetry`."""
    telemetry = [message for batch in stream.messages() for message in batch]
    if source == TELEMETRY:
        return telemetry
    transform = Normalise().transform
    partitions: dict[bytes, int] = {}
    offsets: defaultdict[int, int] = defaultdict(int)
    now_ms = int(time.time() * 1000)
    readings: list[Sent] = []
    for key, value in telemetry:
        assert key is not None
        if key not in partitions:
            partitions[key] = partition_of(key, PARTITIONS)
        partition = partitions[key]
        outcome = transform(Record(key, value, now_ms, "telemetry", partition, offsets[partition]))
        offsets[partition] += 1
        assert isinstance(outcome, Output), outcome
        readings.append((outcome.key, outcome.value))
    return readings


def _drained(process: PeerProcess, peer: Peer, job: Job) -> None:
    process.says("began", _PATIENCE_S)
    _until_committed(process, peer, job)


def _until_committed(process: PeerProcess, peer: Peer, job: Job) -> None:
    group = peer.group(job)
    assert group is not None
    watch = GroupWatch(job.servers, group, job.source.ends())

    def all_committed() -> bool:
        time.sleep(0.1)
        return watch.left() <= 0

    try:
        process.until(all_committed, "all is committed", _PATIENCE_S)
    finally:
        watch.close()


def _under_load(process: PeerProcess, peer: Peer, job: Job, messages: Sequence[Sent], rate: float) -> list[Arrival]:
    feed = Feed(job.source.settings, job.source.topic)
    feed.send(messages[:_FIRST])
    feed.flush()
    _drained(process, peer, job)
    visible = peer.visible(job)
    reader = job.source.log.reader()
    reader.assign(job.source.admin.high_watermarks(partitions_of(visible)))
    stop = threading.Event()
    arrivals: list[Arrival] = []

    def watch() -> None:
        quiet_since = time.monotonic()
        while not stop.is_set() or time.monotonic() - quiet_since < _QUIET_S:
            found = reader.poll(2_000, 0.01)
            if found:
                now_ms = time.time() * 1000
                arrivals.extend(Arrival(now_ms, message) for message in found)
                quiet_since = time.monotonic()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        pace = Pace(rate)
        for first in range(_FIRST, len(messages), pace.slice):
            part = messages[first : first + pace.slice]
            feed.send(part)
            pace.wait(len(part))
        feed.flush()
        _until_committed(process, peer, job)
    finally:
        stop.set()
        watcher.join()
        reader.close()
    return arrivals


def _latencies(peer: Peer, job: Job, arrivals: Sequence[Arrival]) -> list[float]:
    """In the order of the arrivals."""
    if job.work is NORMALISE:
        return list(_of_records(job, arrivals))
    if job.work is STATISTICS:
        return list(_of_rows(peer, job, arrivals))
    return list(_of_results(job, arrivals))


def _of_records(job: Job, arrivals: Sequence[Arrival]) -> Iterator[float]:
    sent = {
        (message.partition(), message.offset()): message.timestamp()[1]
        for message in committed(job.source.log, job.source.topic)
    }
    for at_ms, message in arrivals:
        _, partition, offset = json.loads(message.value() or b"")["origin"]
        yield at_ms - sent[partition, offset]


def _of_rows(peer: Peer, job: Job, arrivals: Sequence[Arrival]) -> Iterator[float]:
    sent: defaultdict[str, list[int]] = defaultdict(list)
    for message in committed(job.source.log, job.source.topic):
        sent[(message.key() or b"").decode()].append(message.timestamp()[1])
    included: dict[str, int] = {}
    for at_ms, message in arrivals:
        row = peer.readings_in(job, message)
        if row is None:
            continue
        device, count = row
        if device in included:  # the first one may include what came before the load
            yield from (at_ms - each for each in sent[device][included[device] : count])
        included[device] = count


def _of_results(job: Job, arrivals: Sequence[Arrival]) -> Iterator[float]:
    """A gauge's clock only rises: the first reading that is late enough closes the window."""
    clocks: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    sent: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for message in committed(job.source.log, job.source.topic):
        reading: Any = json.loads(message.value() or b"")
        gauge = reading["device_id"], reading["metric"]
        if not clocks[gauge] or reading["event_time"] > clocks[gauge][-1]:
            clocks[gauge].append(reading["event_time"])
            sent[gauge].append(message.timestamp()[1])
    for at_ms, message in arrivals:
        result: Any = json.loads(message.value() or b"")
        gauge = result["device_id"], result["metric"]
        place = bisect_left(clocks[gauge], result["window_end"] + GRACE_MS)
        yield at_ms - sent[gauge][place]
