"""The story, from an empty machine to the proof.

① a Kafka and its topics ② two transform and two aggregate workers ③ telemetry, paced ④ questions over HTTP ⑤ kill -9 of
an aggregate worker that is at work, and its disk deleted ⑥ the rest of the input at full speed, then drained
⑦ the proof.
"""

from __future__ import annotations

import time
from contextlib import closing

from pipeline.client import Client
from pipeline.demo.asking import ask
from pipeline.demo.fault import Fault, kill_and_recover
from pipeline.demo.paced import PacedInput
from pipeline.demo.plan import ASK_AT, KILL_AT, SLOW_BEFORE_KILL, SLOW_BEFORE_RECOVERY
from pipeline.demo.proof import prove_stores
from pipeline.rehearsal.checks import conclude, struck
from pipeline.rehearsal.ground import Ground, cluster_for, ground_on
from pipeline.rehearsal.load import Load
from pipeline.rehearsal.outcome import Outcome
from pipeline.rehearsal.proof import prove_counts, prove_drained
from pipeline.rehearsal.telling import Telling
from pipeline.rehearsal.watching import Pulse, Watch
from pipeline.rehearsal.workers import Workers, workers_on
from pipeline.settings import Settings

PATIENCE_S = 60.0


def tell(given: Settings, load: Load, telling: Telling) -> None:
    """Run the demonstration. Whatever it started is gone when this returns or raises, processes and files.

    Raises StatesDiffer when a check fails, and PipelineError for what else can go wrong.
    """
    began = time.monotonic()
    with cluster_for(given, telling, "demo") as cluster, ground_on(cluster, telling) as ground:
        mark = int(load.messages * SLOW_BEFORE_KILL)
        with (
            workers_on(ground, telling) as workers,
            closing(PacedInput(ground, load, mark)) as source,
            closing(Watch(ground, workers, source, telling)) as watch,
        ):
            _run(ground, workers, source, watch, telling, began)


def _run(ground: Ground, workers: Workers, source: PacedInput, watch: Watch, telling: Telling, began: float) -> None:
    load = source.load
    telling.step("Two transform and two aggregate workers, each a process of its own, with a disk of its own")
    workers.introduce(watch.until_shared(), telling)

    telling.step(f"Telemetry comes in: {load.rate:,.0f} messages a second of {load.devices:,} devices, "
                 f"{load.bad_percent:g} % of them broken")  # fmt: skip
    source.start()
    watch.until_come_through(ASK_AT)

    telling.step("Questions over HTTP while it runs")
    with Client.connect(ground.settings, ground.topology, patience_s=PATIENCE_S) as client:
        ask(client, telling)

        watch.until_come_through(KILL_AT)
        telling.step(f"kill -9 {workers.aggregates[1].id}, in the middle of its work, and its disk deleted")
        source.up_to(int(load.messages * SLOW_BEFORE_RECOVERY))
        fault = kill_and_recover(ground, workers, watch, telling)

        left = load.messages - source.sent
        telling.step(f"The rest of the input, {left:,} messages, as fast as it goes; then nothing more")
        loose = watch.look()
        source.open()
        transformed, folded = watch.until_drained()
        telling.drop_bars()
        telling.detail(f"{source.sent:,} sent, all of them transformed, every reading folded")

        telling.step("The proof")
        telling.detail("reading back all that was committed, and counting all that was sent by plain loops")
        counts, outcome = prove_counts(client, ground, watch, source)
        proof = [struck(fault.folded), *counts]
        telling.detail(f"having every store proved, twice; then {fault.worker_id} loses its disk once more")
        victim = workers.by_id[fault.worker_id]
        proof += prove_stores(client, ground, watch, victim, fault, telling)
    proof.append(prove_drained(workers))
    telling.detail("the checks, against the account of what was sent and an independent recount of the topic")
    telling.checks(proof)
    telling.detail("measured from when the input was let loose, all of it on this machine")
    telling.table("figures", _rates(source, loose, transformed, folded, outcome, fault, time.monotonic() - began))
    conclude(proof)


def _rates(
    source: PacedInput, loose: Pulse, transformed: Pulse, folded: Pulse, outcome: Outcome, fault: Fault, seconds: float
) -> list[dict[str, object]]:
    """Measured from when the input was let loose, beside everything else on this machine."""
    produced = source.sent - source.sent_before_open, (source.ended_at or 0.0) - source.opened_at
    transform = transformed.transformed - loose.transformed, transformed.at - loose.at
    aggregate = outcome.readings_from(loose.folded), folded.at - loose.at
    rates = [
        ("produced", _rate(*produced), "messages/s"),
        ("two transform workers", _rate(*transform), "messages/s"),
        ("two aggregate workers", _rate(*aggregate), "readings/s"),
        ("restore after the kill", _rate(fault.restored, fault.restore_seconds), "records/s"),
        ("kill -9 to first answer", fault.seconds_to_answer, "s"),
        ("all of it", seconds, "s"),
    ]
    return [{"measured": name, "figure": figure, "unit": unit} for name, figure, unit in rates]


def _rate(count: int, seconds: float) -> float | str:
    """A second; `-` when there was nothing to measure."""
    return count / seconds if count and seconds > 0 else "-"
