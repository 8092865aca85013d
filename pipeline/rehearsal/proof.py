"""The proof: every store by its digest, and all that came out against an independent recount of what went in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.device import DEVICE_STATE
from pipeline.client import Client
from pipeline.rehearsal import checks
from pipeline.rehearsal.checks import Check
from pipeline.rehearsal.feeding import Input
from pipeline.rehearsal.ground import Ground
from pipeline.rehearsal.outcome import Outcome, committed, outcome_of, sent
from pipeline.rehearsal.recount import recount
from pipeline.rehearsal.telling import Telling
from pipeline.rehearsal.watching import Watch
from pipeline.rehearsal.workers import Workers

Verdicts = dict[int, Mapping[str, Any]]


def prove_counts(client: Client, ground: Ground, watch: Watch, source: Input) -> tuple[list[Check], Outcome]:
    """Nothing lost, nothing doubled, every device as the recount has it; what the pipeline made of its input.

    The pipeline has to be drained.
    """
    outcome = outcome_of(ground)
    watch.until_folded(outcome.reading_ends)
    counted = recount(sent(committed(ground, "telemetry")), source.broken)
    states = {item.key: item.value for item in client.scan(DEVICE_STATE)}
    tally = source.tally
    return [
        checks.equal("telemetry in the log", tally.sent, len(counted.good) + len(counted.broken)),
        *checks.device_states(counted, states),
        *checks.each_once("readings", counted.good, outcome.readings),
        *checks.dead_letters(tally.broken_by_reason, outcome.reasons),
        *checks.each_once("dead letters", counted.broken, outcome.refused),
        checks.none("window results doubled", (each for each, times in outcome.windows.items() if times > 1)),
    ], outcome


def digests(client: Client, ground: Ground, telling: Telling, *, from_source: bool) -> Verdicts:
    """Have every owner prove its partitions; the verdicts by partition."""
    verdicts: Verdicts = {}
    for line in client.verify(ground.stage.name, from_source=from_source):
        if "digest" in line:
            verdicts[line["partition"]] = line
        elif "done" in line:
            telling.bar(f"proving {line['partition']}", line["done"], line["end"], f"{line['rate']:>9,.0f} records/s")
    telling.drop_bars()
    return verdicts


def prove_drained(workers: Workers) -> Check:
    """Ask all of them to stop."""
    codes = workers.drain()
    return checks.equal("workers that drained and left with exit code 0", len(codes), codes.count(0))
