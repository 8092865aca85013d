"""Somebody who asks for one device of each partition, without pause, and notes for how long nobody answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Self

from pipeline.client import Client, Unavailable
from tests.support.cluster import Cluster

PAUSE_S = 0.02


class Probe:
    """Use it in a `with`. Its gaps are from one answer to the next, so they hold what an answer takes and the pause."""

    def __init__(self, cluster: Cluster, devices: Mapping[int, str], *, standby_ok: bool) -> None:
        """`devices`: by partition, one that is there already."""
        self._cluster = cluster
        self._devices = devices
        self._standby_ok = standby_ok
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=each) for each in devices.items()]
        self._failures: list[BaseException] = []
        self.answers = dict.fromkeys(devices, 0)
        self.gaps_s: dict[int, list[float]] = {partition: [] for partition in devices}

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    @property
    def longest_s(self) -> float:
        return max(gap for gaps in self.gaps_s.values() for gap in gaps)

    def _run(self, partition: int, device: str) -> None:
        try:
            with Client.connect(self._cluster.settings, self._cluster.topology, patience_s=0) as client:
                self._ask(client, partition, device)
        except BaseException as error:
            self._failures.append(error)

    def _ask(self, client: Client, partition: int, device: str) -> None:
        position, answered_at = 0, time.monotonic()
        while not self._stopping.wait(PAUSE_S):
            try:
                row = client.get("device-state", device, standby_ok=self._standby_ok)
            except Unavailable:
                continue
            if row is None:
                # A standby may be of before the device came, and tells how far it is behind; an owner may not.
                assert self._standby_ok, f"{device} was there, and its owner says that it is not"
                continue
            now = time.monotonic()
            self.gaps_s[partition].append(now - answered_at)
            self.answers[partition] += 1
            answered_at = now
            if row.meta.served_by == "active":
                assert row.meta.position is not None
                assert row.meta.position >= position, f"partition {partition} went back from {position}"
                position = row.meta.position
