"""The story, from an empty machine to the proof.

① a Kafka and its topics ② two transform and two aggregate workers ③ telemetry, paced ④ questions over HTTP ⑤ kill -9 of
an aggregate worker that is at work, and its disk deleted ⑥ the rest of the input at full speed, then drained
⑦ the proof.
"""

from __future__ import annotations

import time

from pipeline.client import Client
from pipeline.demo.asking import ask
from pipeline.demo.checks import Check, equal
from pipeline.demo.fault import Fault, kill_and_recover, partitions_of
from pipeline.demo.feeding import Input, input_on
from pipeline.demo.ground import Ground, prepared
from pipeline.demo.outcome import Outcome, committed, outcome_of, sent
from pipeline.demo.plan import ASK_AT, KILL_AT, SLOW_BEFORE_KILL, SLOW_BEFORE_RECOVERY, DemoPlan
from pipeline.demo.proof import prove_counts, prove_stores
from pipeline.demo.recount import recount
from pipeline.demo.telling import Telling
from pipeline.demo.watching import Pulse, Watch
from pipeline.demo.workers import Workers, workers_on
from pipeline.errors import StatesDiffer
from pipeline.settings import Settings

PATIENCE_S = 60.0


def tell(given: Settings, plan: DemoPlan, telling: Telling) -> None:
    """Run the demonstration. Whatever it started is gone when this returns or raises, processes and files.

    Raises StatesDiffer when a check fails, and PipelineError for what else can go wrong.
    """
    began = time.monotonic()
    with prepared(given, plan, telling) as ground:
        mark = int(plan.readings * SLOW_BEFORE_KILL)
        with workers_on(ground, telling) as workers, input_on(ground, plan, mark) as source:
            watch = Watch(ground, plan, workers, source, telling)
            try:
                _run(ground, plan, workers, source, watch, telling, began)
            finally:
                watch.close()


def _run(
    ground: Ground, plan: DemoPlan, workers: Workers, source: Input, watch: Watch, telling: Telling, began: float
) -> None:
    telling.step("Two transform and two aggregate workers, each a process of its own, with a disk of its own")
    rows = watch.until_shared()
    telling.drop_bars()
    for worker in workers.by_id.values():
        held = partitions_of(rows, worker.id)
        telling.detail(f"{worker.id:<12} pid {worker.pid:>7}" + (f"   partitions {held}" if held else ""),
                       worker=worker.id, pid=worker.pid, partitions=held)  # fmt: skip

    telling.step(f"Telemetry comes in: {plan.rate:,.0f} messages a second of {plan.devices:,} devices, "
                 f"{plan.bad_percent:g} % of them broken")  # fmt: skip
    source.start()
    watch.until_come_through(ASK_AT)

    telling.step("Questions over HTTP while it runs")
    with Client.connect(ground.settings, ground.topology, patience_s=PATIENCE_S) as client:
        ask(client, telling)

        watch.until_come_through(KILL_AT)
        telling.step(f"kill -9 {workers.aggregates[1].id}, in the middle of its work, and its disk deleted")
        source.up_to(int(plan.readings * SLOW_BEFORE_RECOVERY))
        fault = kill_and_recover(ground, workers, watch, telling)

        left = plan.readings - source.sent
        telling.step(f"The rest of the input, {left:,} messages, as fast as it goes; then nothing more")
        loose = watch.look()
        source.open()
        transformed, folded = watch.until_drained()
        telling.drop_bars()
        telling.detail(f"{source.sent:,} sent, all of them transformed, every reading folded")

        telling.step("The proof")
        telling.detail("reading back all that was committed, and counting all that was sent by plain loops")
        outcome = outcome_of(ground)
        watch.until_folded(outcome.reading_ends)
        counted = recount(sent(committed(ground, "telemetry")), source.broken)
        proof = prove_counts(client, counted, outcome, source, fault)
        telling.detail(f"having every store proved, twice; then {fault.worker_id} loses its disk once more")
        victim = workers.by_id[fault.worker_id]
        proof += prove_stores(client, ground, watch, victim, fault, telling)
    codes = workers.drain()
    telling.detail("the checks, against the account of what was sent and an independent recount of the topic")
    proof.append(equal("workers that drained and left with exit code 0", len(codes), codes.count(0)))
    telling.checks(proof)
    telling.detail("measured from when the input was let loose, all of it on this machine")
    telling.table("rates", _rates(source, loose, transformed, folded, outcome, fault, time.monotonic() - began))
    conclude(proof)


def _rates(
    source: Input, loose: Pulse, transformed: Pulse, folded: Pulse, outcome: Outcome, fault: Fault, seconds: float
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


def conclude(proof: list[Check]) -> None:
    """Raises StatesDiffer unless every check has passed."""
    failed = [check for check in proof if not check.passed]
    if failed:
        raise StatesDiffer(
            f"{len(failed)} of {len(proof)} checks failed: " + "; ".join(check.what.strip() for check in failed),
            hint="; ".join(check.why for check in failed if check.why) or "the figures are in the table above",
        )
