"""The demonstration that goes on, with a page whose buttons break it.

*Kill* is kill -9 in the middle of work; then each store has to equal the source folded anew. *Wipe* holds the input, so
that the state stands still, and takes its digests; the worker is killed, its disk deleted, and what comes back
has to have the same ones.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import closing
from typing import NoReturn

from pipeline.client import Client
from pipeline.console.serving import console_on
from pipeline.demo.experiment import Compared, Experiments, Order
from pipeline.demo.paced import Valve
from pipeline.producing import Production, Sender
from pipeline.rehearsal.checks import Check, conclude, equal
from pipeline.rehearsal.feeding import Input, feed_of
from pipeline.rehearsal.ground import Ground, cluster_for, ground_on
from pipeline.rehearsal.load import Load
from pipeline.rehearsal.proof import Verdicts, digests
from pipeline.rehearsal.telling import Telling
from pipeline.rehearsal.watching import Watch
from pipeline.rehearsal.worker_process import WorkerProcess
from pipeline.rehearsal.workers import Workers, partitions_of, workers_on
from pipeline.settings import Settings
from pipeline.telemetry.poison import Message

PATIENCE_S = 60.0
LOOK_EVERY_S = 0.5


class Gate:
    """A sender in front of another, that can be held."""

    def __init__(self, sender: Sender, stop: threading.Event) -> None:
        self._sender = sender
        self._stop = stop
        self._open = threading.Event()
        self._open.set()
        self._sending = threading.Lock()
        self.sent = 0

    def send(self, messages: Iterable[Message]) -> None:
        """Waits while the gate is held; drops the messages when the input is told to end meanwhile."""
        waiting = list(messages)
        while not self._stop.is_set():
            self._open.wait(LOOK_EVERY_S)
            with self._sending:
                if self._open.is_set():
                    self._sender.send(waiting)
                    self.sent += len(waiting)
                    return

    def hold(self) -> int:
        """Nothing passes any more; how many messages have."""
        self._open.clear()
        with self._sending:
            return self.sent

    def release(self) -> None:
        self._open.set()


class HeldInput(Input):
    """Endless: so many messages at the steady pace, then a trickle; it can be held."""

    def __init__(self, ground: Ground, load: Load) -> None:
        stop, feed = threading.Event(), feed_of(ground)
        self.gate = Gate(feed, stop)
        self._valve = Valve(self.gate, load.rate, load.messages, stop)
        super().__init__(load, feed, Production(self._valve, stop, sent=lambda _count: None), stop, count=None)

    def close(self) -> None:
        self._valve.open()
        super().close()


def live(given: Settings, load: Load, telling: Telling, bind: str) -> NoReturn:
    """Run until interrupted. Whatever it started is gone when this raises, processes and files.

    Raises StatesDiffer at the end when a digest has differed, and PipelineError for what else can go wrong.
    """
    found: list[Check] = []
    try:
        with (
            cluster_for(given, telling, "demo") as cluster,
            ground_on(cluster, telling) as ground,
            workers_on(ground, telling) as workers,
            closing(HeldInput(ground, load)) as source,
            closing(Watch(ground, workers, source, telling)) as watch,
        ):
            _run(ground, workers, source, watch, telling, bind, found)
    except KeyboardInterrupt:
        conclude(found)
        raise


def _run(
    ground: Ground, workers: Workers, source: HeldInput, watch: Watch, telling: Telling, bind: str, found: list[Check]
) -> NoReturn:
    load = source.load
    experiments = Experiments([worker.id for worker in workers.aggregates])
    telling.step("Two transform and two aggregate workers, each a process of its own, with a disk of its own")
    with (
        console_on(ground.settings, ground.topology, bind, experiments) as url,
        Client.connect(ground.settings, ground.topology, patience_s=PATIENCE_S) as client,
    ):
        telling.detail(f"the console is at {url}", console=url)
        workers.introduce(watch.until_shared(), telling)
        telling.step(f"Telemetry comes in: {load.messages:,} messages of {load.devices:,} devices at "
                     f"{load.rate:,.0f}/s, then a trickle")  # fmt: skip
        source.start()
        laboratory = _Laboratory(ground, workers, source, watch, client, telling, experiments)
        telling.step(f"Open {url} and break something; Ctrl-C ends it all")
        experiments.ready = True
        while True:
            workers.require_alive()
            source.require_well()
            order = experiments.next(LOOK_EVERY_S)
            if order is not None:
                with experiments.running(order):
                    found += laboratory.carry_out(order)
                telling.drop_bars()


class _Laboratory:
    """Carries out experiments, and tells of them on the page and on the terminal."""

    def __init__(
        self,
        ground: Ground,
        workers: Workers,
        source: HeldInput,
        watch: Watch,
        client: Client,
        telling: Telling,
        experiments: Experiments,
    ) -> None:
        self._ground = ground
        self._workers = workers
        self._source = source
        self._watch = watch
        self._client = client
        self._telling = telling
        self._experiments = experiments

    def carry_out(self, order: Order) -> list[Check]:
        """The checks that it ends with; the input flows again afterwards."""
        victim = self._workers.by_id[order.worker]
        try:
            return self._wipe(victim) if order.action == "wipe" else self._kill(victim)
        finally:
            self._source.gate.release()

    def _kill(self, victim: WorkerProcess) -> list[Check]:
        self._step(f"kill -9 {victim.id}, in the middle of its work")
        lost = partitions_of(self._watch.until_shared(), victim.id)
        folded = self._watch.until_hit(victim, victim.kill_in_open_work)
        self._detail(f"it had partitions {_listed(lost)}, and {folded:,} readings folded and not committed")
        self._come_back(victim, "with its disk")
        self._hold()
        self._step("Prove every store: against the source, folded anew by a process of its own")
        verdicts = self._digests(from_source=True)
        return self._compare("source, folded anew", "store", [
            Compared(each, line["position"], line["digest_replay"] or "", line["digest_store"], line["equal"])
            for each, line in sorted(verdicts.items())
        ])  # fmt: skip

    def _wipe(self, victim: WorkerProcess) -> list[Check]:
        self._hold()
        self._step("Take the digest of every store: SHA-256 over every row of every table")
        before = self._digests(from_source=False)
        self._step(f"kill -9 {victim.id}, and delete its disk")
        lost = partitions_of(self._watch.until_shared(), victim.id)
        victim.kill()
        files, size = victim.lose_disk()
        self._detail(f"it had partitions {_listed(lost)}; {files:,} files of {size / 1e6:,.1f} MB are gone")
        self._come_back(victim, "with nothing on its disk")
        self._step("Take the digests again")
        after = self._digests(from_source=False)
        return self._compare("before", "after", [
            Compared(each, after[each]["position"], before[each]["digest_store"], after[each]["digest_store"],
                     all(before[each][name] == after[each][name] for name in ("position", "digest_store")))
            for each in sorted(before.keys() & after.keys())
        ])  # fmt: skip

    def _hold(self) -> None:
        self._step("Hold the input until everything is folded, so that the state stands still")
        self._watch.until_at_rest(self._source.gate.hold())
        self._telling.drop_bars()

    def _come_back(self, victim: WorkerProcess, how: str) -> None:
        before = {worker.id: len(worker.restores()) for worker in self._workers.aggregates if worker is not victim}
        victim.start()
        self._step(f"Start {victim.id} again, {how}, and wait until it serves its partitions")
        self._detail(f"process {victim.pid}")
        self._watch.until_shared()
        self._telling.drop_bars()
        # The victim's partitions may have moved meanwhile: on a slow machine its start outlasts its session.
        for worker in self._workers.aggregates:
            for each in worker.restores()[before.get(worker.id, 0) :]:
                partition, records, seconds = each["partition"], each["records"], each["seconds"]
                told = f"{worker.id} restored partition {partition}: {records:,} records in {seconds:.2f} s"
                self._experiments.detail(told)
                self._telling.restored(partition, records, seconds)

    def _digests(self, *, from_source: bool) -> Verdicts:
        verdicts = digests(self._client, self._ground, self._telling, from_source=from_source)
        records, seconds = (sum(line[name] for line in verdicts.values()) for name in ("records", "seconds"))
        self._detail(f"{len(verdicts)} stores; {records:,} records folded in {seconds:.1f} s to compare them with")
        return verdicts

    def _compare(self, expected: str, found: str, rows: list[Compared]) -> list[Check]:
        self._experiments.proof(expected, found, rows)
        check = equal(f"digests equal: {expected}, {found}", len(self._ground.partitions(self._ground.stage.source)),
                      sum(row.equal for row in rows))  # fmt: skip
        self._telling.checks([check])
        self._step("The input goes on")
        return [check]

    def _step(self, text: str) -> None:
        self._experiments.step(text)
        self._telling.detail(text)

    def _detail(self, text: str) -> None:
        self._experiments.detail(text)
        self._telling.detail("  " + text)


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
