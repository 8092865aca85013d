"""How a drill goes.

① topics and four workers ② telemetry, until the fault is over ③ the fault, as often as it is to come, each time until
what it hit goes on ④ the input ends, and all of it is folded ⑤ the proof.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

from pipeline.client import Client
from pipeline.drill.drill import Drill
from pipeline.drill.report import Report, conclude_all
from pipeline.drill.scene import Scene
from pipeline.errors import Misconfigured
from pipeline.rehearsal.checks import Check, replays
from pipeline.rehearsal.feeding import endless
from pipeline.rehearsal.ground import PARTITIONS, Cluster, Ground, cluster_for, ground_on
from pipeline.rehearsal.load import Load
from pipeline.rehearsal.proof import digests, prove_counts, prove_drained
from pipeline.rehearsal.telling import Telling
from pipeline.rehearsal.watching import Watch
from pipeline.rehearsal.workers import workers_on
from pipeline.settings import Settings

PATIENCE_S = 120.0
"""For each thing that has to come: where the input goes on, something always moves."""
ANSWER_S = 60.0
BEGUN = 0.1
"""Share of the least input that is folded before the first fault."""


@dataclass(frozen=True)
class Order:
    """What a user wants of the drills."""

    times: int | None
    """How often each fault comes; none: as often as the drill says."""
    devices: int
    seed: int
    rate: float
    count: int
    """Messages to send at the least; the input ends when the faults are over as well."""

    def load(self, drill: Drill) -> Load:
        return Load(self.count, self.devices, drill.bad_percent, self.seed, self.rate)


def run(given: Settings, drills: Sequence[Drill], order: Order, telling: Telling) -> str:
    """Run them one after the other on one Kafka; the verdict. Whatever was started is gone when this returns or raises.

    Raises Misconfigured before anything is started when a drill asks for more than the given Kafka allows,
    StatesDiffer when a check fails (after the last drill), and PipelineError for what else can go wrong.
    """
    runnable = [drill for drill in drills if not (given.bootstrap_servers and drill.needs_own_broker)]
    if not runnable:
        raise Misconfigured(
            f"{drills[0].name} is not for somebody else's Kafka: statelog cannot restart its brokers",
            hint="unset STATELOG_BOOTSTRAP_SERVERS: the drill then brings a Kafka of its own",
        )
    with cluster_for(given, telling, "drill") as cluster:
        for drill in drills:
            if drill not in runnable:
                telling.detail(f"{drill.name} is left out: statelog cannot restart somebody else's brokers")
        reports = [_rehearse(cluster, drill, order, telling) for drill in runnable]
    if len(reports) > 1:
        telling.step("All of them")
        for report in reports:
            telling.detail(report.verdict())
    telling.table("drills", [report.row() for report in reports])
    return conclude_all(reports)


def _rehearse(cluster: Cluster, drill: Drill, order: Order, telling: Telling) -> Report:
    began = time.monotonic()
    telling.step(f"{drill.name}: {drill.shows}")
    with (
        ground_on(cluster, telling, prefix=f"{drill.name}-", time_outs=drill.time_outs) as ground,
        ExitStack() as after_the_workers,
    ):
        if cluster.broker is None:
            after_the_workers.callback(ground.forget_groups)
        with (
            workers_on(ground, telling) as workers,
            closing(endless(ground, order.load(drill))) as source,
            closing(Watch(ground, workers, source, telling, patience_s=PATIENCE_S)) as watch,
        ):
            times = drill.times if order.times is None else order.times
            scene = Scene(cluster.broker, workers, source, watch, telling)
            checks = _under_load(scene, drill, times)
            checks += _proof(ground, scene)
        telling.detail("the invariants, against the account of what was sent and an independent recount of the topic")
        telling.checks(checks)
        report = Report(drill.name, times, source.sent, checks, scene.recovery.seconds, time.monotonic() - began)
        telling.table("figures", report.figures())
    return report


def _under_load(scene: Scene, drill: Drill, times: int) -> list[Check]:
    """The faults, and then nothing left to do; checks that they hit."""
    workers, source, watch, telling = scene.workers, scene.source, scene.watch, scene.telling
    workers.introduce(watch.until_shared(), telling)
    load = source.load
    telling.detail(f"telemetry comes in: {load.rate:,.0f} messages a second of {load.devices:,} devices, "
                   f"{load.bad_percent:g} % of them broken", rate=load.rate)  # fmt: skip
    source.start()
    watch.until_come_through(BEGUN)
    scene.until_settled()
    checks = list(drill.provoke(scene, times))
    scene.until("the input is as long as it was to be", lambda: source.sent >= load.messages)
    source.end()
    watch.until_drained()
    telling.drop_bars()
    telling.detail(f"{source.sent:,} messages sent, all of them transformed, every reading folded")
    return checks


def _proof(ground: Ground, scene: Scene) -> list[Check]:
    with Client.connect(ground.settings, ground.topology, patience_s=ANSWER_S) as client:
        counts, _ = prove_counts(client, ground, scene.watch, scene.source)
        of_changelog = digests(client, ground, scene.telling, from_source=False)
        of_source = digests(client, ground, scene.telling, from_source=True)
    return [*counts, *replays(of_changelog, of_source, PARTITIONS), prove_drained(scene.workers)]
