"""A place at a steady rate: how late its results are and its answers, and what goes over the network meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.drill.recovery import percentile
from pipeline.errors import PipelineError
from pipeline.rehearsal.ground import Ground
from pipeline.rehearsal.worker_process import WorkerProcess
from pipeline.tradeoff.figures import Network
from pipeline.tradeoff.order import Order
from pipeline.tradeoff.paced import Input
from pipeline.tradeoff.questions import Asker, Questions, in_ms
from pipeline.tradeoff.redis_server import Redis
from pipeline.tradeoff.watching import Results, Watch
from pipeline.tradeoff.worker import TRAFFIC

SETTLE_S: Final = 2.0
"""At a new rate, before anything is measured."""
ARRIVAL_S: Final = 1.0
"""For a committed result to come to its reader."""


@dataclass(frozen=True)
class Found:
    """What was measured."""

    figures: dict[str, Any]
    """By the names of `Figures`."""
    told: str
    """In one line."""


class Steady:
    """One worker, while readings come in."""

    def __init__(
        self,
        ground: Ground,
        watch: Watch,
        worker: WorkerProcess,
        redis: Redis | None,
        open_questions: Callable[[], Questions],
        wait: Callable[[float, str], None],
    ) -> None:
        self._ground = ground
        self._watch = watch
        self._worker = worker
        self._redis = redis
        self._open = open_questions
        self._wait = wait

    def measure(self, source: Input, devices: Sequence[str], order: Order) -> Found:
        """`source` sends at its rate by now."""
        self._wait(SETTLE_S, "settling")
        results = Results(self._ground)
        asker = Asker(self._open, devices, order.questions)
        since_ms = time.time() * 1_000
        before, folded = self._traffic(), self._watch.folded()
        self._wait(order.seconds, "steady")
        after, events = self._traffic(), self._watch.folded() - folded
        answered = asker.end()
        until_ms, sent = time.time() * 1_000, source.sent
        # Those that are late are what a percentile is about.
        self._watch.until("what was sent is folded", lambda: self._watch.folded() >= sent)
        self._wait(ARRIVAL_S, "steady")
        arrived = results.end(since_ms, until_ms)
        source.require_well()
        if not arrived or not events or not answered:
            raise PipelineError("nothing was folded while it was measured", hint="give it more --seconds")
        network = Network(
            events,
            after["sent_bytes"] + after["received_bytes"] - before["sent_bytes"] - before["received_bytes"],
            after["requests"] - before["requests"],
            after["redis_bytes"] - before["redis_bytes"],
            after["redis_round_trips"] - before["redis_round_trips"],
        )
        figures = {
            "result_p50_ms": in_ms(percentile(arrived, 50)),
            "result_p99_ms": in_ms(percentile(arrived, 99)),
            "question_p50_ms": in_ms(percentile(answered, 50)),
            "question_p99_ms": in_ms(percentile(answered, 99)),
            "readings_behind_a_question": folded,
            "of_an_event": network,
        }
        told = (
            f"p99 of {len(arrived):,} results {figures['result_p99_ms']} ms, of {len(answered):,} questions "
            f"{figures['question_p99_ms']} ms; {network.bytes_each:,.0f} bytes a reading on the network"
        )
        return Found(figures, told)

    def _traffic(self) -> dict[str, int]:
        """Until now, by the worker's own count, and by Redis's."""
        told = self._worker.said(TRAFFIC)
        if not told:
            raise PipelineError("the worker has not told of its traffic yet")
        counted = ("requests", "sent_bytes", "received_bytes", "redis_round_trips")
        traffic = {name: int(told[-1][name]) for name in counted}
        return {**traffic, "redis_bytes": 0 if self._redis is None else self._redis.traffic_bytes()}
