"""What a place with workers goes through.

① the log is filled, a worker folds it at full speed ② readings at a steady rate: results and questions are timed,
bytes and round trips counted ③ kill -9, each time between the last write of state and the commit ④ one more worker
⑤ the store goes down ⑥ the input ends, all is folded, and what is there is held against the account.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from pipeline.errors import PipelineError
from pipeline.rehearsal.disk import directory_bytes, topic_bytes
from pipeline.rehearsal.ground import Cluster, Ground
from pipeline.rehearsal.outcome import Outcome, committed
from pipeline.rehearsal.telling import Telling
from pipeline.rehearsal.worker_process import AGGREGATE, WorkerProcess
from pipeline.runtime.crash import CrashPoint
from pipeline.tradeoff.account import Account, Verdict
from pipeline.tradeoff.figures import Down, Figures
from pipeline.tradeoff.order import Order
from pipeline.tradeoff.outages import Outage
from pipeline.tradeoff.paced import Input
from pipeline.tradeoff.places import Place
from pipeline.tradeoff.questions import OfRedis, OfWorkers, Questions
from pipeline.tradeoff.redis_server import Redis
from pipeline.tradeoff.steady import Steady
from pipeline.tradeoff.stream import Stream
from pipeline.tradeoff.watching import Watch
from pipeline.tradeoff.worker import REDIS_URL

BACKLOG_LOOK_S: Final = 0.02
"""The error of the time at full speed."""
BETWEEN_KILLS_S: Final = 0.5


class Scenario:
    """One place, from an empty log to the verdict. Use it once."""

    def __init__(
        self,
        place: Place,
        cluster: Cluster,
        ground: Ground,
        stream: Stream,
        order: Order,
        telling: Telling,
        redis: Redis | None,
    ) -> None:
        self._place = place
        self._cluster = cluster
        self._ground = ground
        self._stream = stream
        self._order = order
        self._telling = telling
        self._redis = redis
        self._watch = Watch(ground)
        self._program = (sys.executable, "-m", "pipeline.tradeoff.worker", place.value)
        self._environment = {} if redis is None else {REDIS_URL: redis.url}
        self._seat = self._worker("worker-0", keeps_seat=True)
        self._guest = self._worker("worker-1", keeps_seat=False)

    def _worker(self, name: str, *, keeps_seat: bool) -> WorkerProcess:
        return WorkerProcess(
            AGGREGATE, name, self._ground.directory, self._ground.settings, keeps_seat=keeps_seat,
            program=self._program, environment=self._environment,
        )  # fmt: skip

    def run(self) -> Figures:
        """Raises what can go wrong; whatever was started is gone when this returns or raises."""
        with self._workers_end(), closing(Input(self._ground, self._stream)) as source:
            events_per_s = self._full_speed(source)
            self._say(f"{events_per_s:,.0f} readings a second at full speed")
            source.start(self._order.rate)
            steady = Steady(self._ground, self._watch, self._seat, self._redis, self._questions, self._wait).measure(
                source, self._stream.devices, self._order
            )
            self._say(steady.told)
            worker_mb, store_mb, disk_mb = self._sizes()
            recoveries, again = self._kills(source)
            join_s = self._join(source)
            down = self._down(source)
            source.end()
            self._until_folded(source.sent)
            verdict = self._judge(source)
            self._drain()
        return Figures(
            self._place, verdict, down, events_per_s=events_per_s, **steady.figures,
            worker_mb=worker_mb, store_mb=store_mb, disk_mb=disk_mb, kills=len(recoveries),
            recovery_s=statistics.median(recoveries) if recoveries else None, folded_again=again, join_s=join_s,
        )  # fmt: skip

    def _questions(self) -> Questions:
        return OfWorkers(self._ground) if self._redis is None else OfRedis(self._ground, self._redis.url)

    # ① at full speed

    def _full_speed(self, source: Input) -> float:
        count = self._order.readings
        source.fill(count)
        self._start(self._seat)
        began = self._watch.until("the worker takes its first readings", lambda: self._seat.has_folded, 0.002)
        ended = self._until_folded(count)
        return count / (ended - began)

    def _until_folded(self, count: int) -> float:
        def folded() -> bool:
            done = self._watch.folded()
            self._telling.bar("folded", done, count, f"{done:>9,} of {count:,}")
            return done >= count

        at = self._watch.until("everything is folded", folded, BACKLOG_LOOK_S)
        self._telling.drop_bars()
        return at

    def _sizes(self) -> tuple[float | None, float | None, float | None]:
        of_topics = self._changelog_bytes()
        of_stores = directory_bytes(self._seat.disk) if self._redis is None else self._redis.file_bytes()
        on_disk = None if of_topics is None or of_stores is None else (of_topics + of_stores) / 1e6
        store_mb = None if self._redis is None else self._redis.memory_bytes() / 1e6
        return self._seat.peak_rss_mb(), store_mb, on_disk

    def _changelog_bytes(self) -> int | None:
        """None on somebody else's cluster, whose disks are not seen."""
        if self._redis is not None or not self._ground.topology.changelogs:
            return 0
        if self._cluster.broker is None:
            return None
        return topic_bytes(self._cluster.broker.data_dir, map(self._ground.full, self._ground.topology.changelogs))

    # ③ kill -9

    def _kills(self, source: Input) -> tuple[list[float], int | None]:
        recoveries: list[float] = []
        again: int | None = None
        for number in range(self._order.kills):
            self._telling.bar("kills", number, self._order.kills, f"{number:>9,} of {self._order.kills}")
            self._wait(BETWEEN_KILLS_S, "steady")
            self._until_hit()
            if self._redis is not None:
                again = (again or 0) + self._ahead()
            recoveries.append(self._until_back(self._seat))
            source.require_well()
        self._telling.drop_bars()
        if recoveries:
            self._say(f"{len(recoveries)} kills -9 between the last write and the commit; back after "
                      + ", ".join(f"{each:.1f}" for each in recoveries) + " s"
                      + ("" if again is None else f"; {again:,} readings were already in Redis"))  # fmt: skip
        return recoveries, again

    def _until_hit(self) -> None:
        """Kill the worker once all of its state is written, and before the commit is known."""
        hits: list[int] = []

        def struck() -> bool:
            folded = self._seat.kill_in_open_work(CrashPoint.CHANGELOG_SENT)
            if folded is not None:
                hits.append(folded)
            return bool(hits)

        self._watch.until("the worker is seen between its last write and its commit", struck, 0.0)
        if not hits[0]:
            raise PipelineError("the kill came after the commit")

    def _ahead(self) -> int:
        """How many readings Redis includes beyond what is committed."""
        with closing(self._questions()) as questions:
            included = sum(
                state["readings"] + state["duplicates"] + sum(each["too_old"] for each in state["metrics"].values())
                for state in questions.states().values()
            )
        return int(included) - self._watch.folded()

    def _until_back(self, worker: WorkerProcess) -> float:
        """Start it again; the seconds from then until all partitions go on."""
        partitions = self._watch.committed()
        began = time.monotonic()
        worker.start()
        return self._watch.until_progress(partitions) - began

    # ④ one more worker

    def _join(self, source: Input) -> float:
        began = time.monotonic()
        self._start(self._guest)
        before: dict[int, int] = {}

        def at_work() -> bool:
            taken = [each for name, held in self._watch.held().items() if name != self._seat.id for each in held]
            now = self._watch.committed()
            for each in taken:
                before.setdefault(each, now[each])
            return len(taken) == len(now) // 2 and all(now[each] > before[each] for each in taken)

        seconds = self._watch.until("the new worker is at work", at_work) - began
        source.require_well()
        self._say(f"one more worker has half of the partitions at work after {seconds:.1f} s")
        return seconds

    # ⑤ the store goes down

    def _down(self, source: Input) -> Down:
        down = Outage(self._watch, self._seat, self._redis, self._questions, self._wait).provoke(self._place)
        source.require_well()
        self._say(f"store down: {down.words}")
        return down

    # ⑥ the verdict

    def _judge(self, source: Input) -> Verdict:
        self._telling.bar("account", 0, source.sent, f"{source.sent:>9,} readings are counted")
        outcome = Outcome()
        for message in committed(self._ground, "windows"):
            outcome.take_window(message)
        with closing(self._questions()) as questions:
            if isinstance(questions, OfWorkers):
                self._watch.until("the stores include everything", lambda: questions.position() >= source.sent, 0.1)
            states = questions.states()
        verdict = Account(self._stream.telemetry[: source.sent]).judge(states, Counter(outcome.windows))
        self._telling.drop_bars()
        return verdict

    def _drain(self) -> None:
        workers, self._watch.workers = self._watch.workers, []
        codes = [worker.drain() for worker in workers]
        if any(codes):
            raise PipelineError(f"workers drained with the exit codes {codes}")

    # Shared

    def _say(self, text: str) -> None:
        self._telling.drop_bars()
        self._telling.detail(text, place=self._place.value)

    def _wait(self, seconds: float, what: str) -> None:
        """Let it run for so long."""
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            self._telling.bar(what, passed, seconds, f"{passed:>9,.1f} of {seconds:,.1f} s")
            for worker in self._watch.workers:
                worker.require_alive()
            time.sleep(min(0.1, seconds - passed))
        self._telling.drop_bars()

    def _start(self, worker: WorkerProcess) -> None:
        worker.start()
        self._watch.workers.append(worker)

    @contextmanager
    def _workers_end(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            for worker in self._watch.workers:
                self._telling.log_tail(worker.id, worker.log_tail())
            raise
        finally:
            self._seat.kill()
            self._guest.kill()
