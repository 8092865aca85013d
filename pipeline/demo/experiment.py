"""What the console's buttons ask for, and how it goes: between the server's threads and the one that does it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, get_args

from pipeline.console.controls import Busy

Action = Literal["kill", "wipe"]


class Order(NamedTuple):
    """One press of a button."""

    action: str
    worker: str


class Compared(NamedTuple):
    """One partition's digest, told twice."""

    partition: int
    position: int
    expected: str
    found: str
    equal: bool


class Experiments:
    """The `pipeline.console.controls.Controls` of the demonstration: one experiment at a time; the last one is kept."""

    def __init__(self, workers: Sequence[str]) -> None:
        self._workers = list(workers)
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running = False
        self._experiment: dict[str, Any] = {}
        self.ready = False
        """Orders are taken."""

    def order(self, action: str, worker: str) -> None:
        if action not in get_args(Action):
            raise ValueError(f"no experiment is named {action!r}")
        if worker not in self._workers:
            raise ValueError(f"no aggregate worker is named {worker!r}")
        with self._lock:
            if not self.ready:
                raise Busy("the pipeline is only starting")
            if self._running:
                raise Busy("an experiment is under way")
            self._running = True
        self._orders.put(Order(action, worker))

    def shown(self) -> Mapping[str, Any]:
        with self._lock:
            steps = [dict(step) for step in self._experiment.get("steps", ())]
            experiment = {**self._experiment, "steps": steps} if self._experiment else None
            return {"workers": self._workers, "ready": self.ready, "running": self._running, "experiment": experiment}

    # For the thread that does it

    def next(self, within_s: float) -> Order | None:
        """The next order; None when none comes."""
        try:
            return self._orders.get(timeout=within_s)
        except queue.Empty:
            return None

    @contextmanager
    def running(self, order: Order) -> Iterator[None]:
        with self._lock:
            self._experiment = {**order._asdict(), "began": _now_ms(), "ended": None, "steps": [], "proof": None}
        try:
            yield
        finally:
            with self._lock:
                self._experiment["ended"] = _now_ms()
                self._running = False

    def step(self, text: str) -> None:
        """What happens now; it is done when the next one begins."""
        with self._lock:
            self._experiment["steps"].append({"text": text, "at": _now_ms(), "details": []})

    def detail(self, text: str) -> None:
        """Something that this step has brought."""
        with self._lock:
            step = self._experiment["steps"][-1]
            step["details"] = [*step["details"], text]

    def proof(self, expected: str, found: str, rows: Sequence[Compared]) -> None:
        """The digests, and what they are of."""
        with self._lock:
            listed = [row._asdict() for row in rows]
            self._experiment["proof"] = {"expected": expected, "found": found, "rows": listed}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
