"""The fault: kill -9 of an aggregate worker that is at work, and the loss of its disk."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from operators.device import DEVICE_STATE
from pipeline.client import Client
from pipeline.errors import PipelineError
from pipeline.partitioning import partition_of
from pipeline.query.asking import Unavailable
from pipeline.rehearsal.ground import PARTITIONS, Ground
from pipeline.rehearsal.telling import Telling
from pipeline.rehearsal.watching import Watch
from pipeline.rehearsal.workers import Workers, partitions_of

ASKED_DEVICES = 200
"""Enough that every partition has one of them."""


@dataclass(frozen=True)
class Fault:
    """One kill -9 and what followed."""

    worker_id: str
    folded: int
    """Readings that were folded and not committed, by the crash trace."""
    seconds_to_answer: float
    """From the kill to the first answer for a device of a lost partition."""
    restored: int
    """Changelog records folded into the new disk."""
    restore_seconds: float
    partitions: Sequence[int]
    """Those that the worker held."""


def kill_and_recover(ground: Ground, workers: Workers, watch: Watch, telling: Telling) -> Fault:
    """Kill the second aggregate worker in open work, delete its disk, start it again, and see its partitions back."""
    victim = workers.aggregates[1]
    lost = partitions_of(watch.until_shared(), victim.id)
    with Client.connect(ground.settings, ground.topology, patience_s=0) as client:
        devices = [item.key for item in client.scan(DEVICE_STATE, limit=ASKED_DEVICES)]
        of_lost, of_others = _split(devices, lost, PARTITIONS)

        folded = watch.until_hit(victim, victim.kill_in_open_work)
        killed_at = time.monotonic()
        files, size = victim.lose_disk()
        victim.start()
        telling.detail(f"it held partitions {_listed(lost)}, with {folded:,} readings folded and not committed",
                       worker=victim.id, partitions=lost, folded_not_committed=folded)  # fmt: skip
        telling.detail(f"its disk is gone, {files:,} files of {size / 1e6:,.1f} MB; started again as pid {victim.pid}")
        telling.detail(_meanwhile(client, of_lost[0], of_others))

        def answered(_pulse: object) -> bool:
            watch.show_restores()
            try:
                return client.get(DEVICE_STATE, of_lost[0]) is not None
            except Unavailable:
                return False

        answered_at = watch.until(f"{of_lost[0]} answers again", answered).at
        watch.until_shared()
    telling.drop_bars()
    restores = [each for worker in workers.aggregates for each in worker.restores() if each["partition"] in lost]
    restores.sort(key=lambda each: each["partition"])
    for each in restores:
        telling.restored(each["partition"], each["records"], each["seconds"])
    seconds = answered_at - killed_at
    telling.detail(f"{of_lost[0]} answers again, {seconds:.1f} s after the kill", seconds=round(seconds, 3))
    return Fault(victim.id, folded, seconds, sum(each["records"] for each in restores),
                 max((each["seconds"] for each in restores), default=0.0), lost)  # fmt: skip


def _split(devices: Sequence[str], lost: Sequence[int], partitions: int) -> tuple[list[str], list[str]]:
    """Devices of the lost partitions, and the others."""
    of_lost = [device for device in devices if partition_of(device.encode(), partitions) in lost]
    if not of_lost:
        raise PipelineError("the lost partitions hold no device", hint="give more --devices")
    return of_lost, [device for device in devices if device not in set(of_lost)]


def _meanwhile(client: Client, of_lost: str, of_others: Sequence[str]) -> str:
    """What the pipeline answers while a worker is away."""
    try:
        client.get(DEVICE_STATE, of_lost)
        told = f"meanwhile {of_lost} answers already"
    except Unavailable:
        told = f"meanwhile {of_lost} gets no answer, rather than an old one"
    try:
        row = client.get(DEVICE_STATE, of_others[0]) if of_others else None
    except Unavailable:
        return told
    return told if row is None else f"{told}; {of_others[0]} still answers from {row.meta.owner}"


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
