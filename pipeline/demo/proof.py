"""The proof: every store by its digest, and all that came out against an independent recount of what went in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.device import DEVICE_STATE
from pipeline.client import Client
from pipeline.demo import checks
from pipeline.demo.checks import Check
from pipeline.demo.fault import Fault, partitions_of
from pipeline.demo.feeding import Input
from pipeline.demo.ground import Ground
from pipeline.demo.outcome import Outcome
from pipeline.demo.recount import Recount
from pipeline.demo.telling import Telling
from pipeline.demo.watching import Watch
from pipeline.demo.workers import WorkerProcess

DIGEST_SHOWN = 10
Verdicts = dict[int, Mapping[str, Any]]


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


def prove_stores(
    client: Client, ground: Ground, watch: Watch, victim: WorkerProcess, fault: Fault, telling: Telling
) -> list[Check]:
    """Live stores against two replays; then the victim loses its disk once more, and what it rebuilds is compared."""
    of_changelog = digests(client, ground, telling, from_source=False)
    of_source = digests(client, ground, telling, from_source=True)
    lost = partitions_of(watch.until_shared(), victim.id)
    left_with = victim.drain()
    victim.lose_disk()
    victim.start()
    watch.until_shared()
    telling.drop_bars()
    afterwards = digests(client, ground, telling, from_source=False)
    telling.detail("digests, SHA-256 over every row of every table: of the live stores, of their changelogs replayed,")
    telling.detail("of their source folded anew, and of the stores that were rebuilt from nothing just now")
    telling.table("digests", [
        {
            "partition": partition,
            "its disk": "lost" if partition in fault.partitions else "kept",
            "position": of_changelog[partition]["position"],
            "live": _short(of_changelog[partition]["digest_store"]),
            "changelog": _short(of_changelog[partition]["digest_replay"]),
            "source": _short(of_source[partition]["digest_replay"]),
            "rebuilt": _short(afterwards[partition]["digest_store"]) if partition in lost else "-",
        }
        for partition in sorted(of_changelog.keys() & of_source.keys() & afterwards.keys())
    ])  # fmt: skip
    return [
        *checks.replays(of_changelog, of_source, len(ground.partitions(ground.stage.source))),
        checks.equal(f"exit code of {victim.id}, asked to stop", 0, left_with),
        *checks.rebuilt(of_changelog, afterwards, lost),
    ]


def prove_counts(client: Client, recount: Recount, outcome: Outcome, source: Input, fault: Fault) -> list[Check]:
    """Nothing lost, nothing doubled, every device as the recount has it."""
    states = {item.key: item.value for item in client.scan(DEVICE_STATE)}
    tally = source.tally
    return [
        checks.struck(fault.folded),
        checks.equal("telemetry in the log", tally.sent, len(recount.good) + len(recount.broken)),
        *checks.device_states(recount, states),
        *checks.each_once("readings", recount.good, outcome.readings),
        *checks.dead_letters(tally.broken_by_reason, outcome.reasons),
        *checks.each_once("dead letters", recount.broken, outcome.refused),
        checks.none("window results doubled", (each for each, times in outcome.windows.items() if times > 1)),
    ]


def _short(digest: str | None) -> str:
    return "-" if digest is None else digest[:DIGEST_SHOWN]
