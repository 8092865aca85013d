"""The proof of the stores: by digest, against two replays, and after the loss of a disk once more."""

from __future__ import annotations

from pipeline.client import Client
from pipeline.demo.fault import Fault
from pipeline.rehearsal import checks
from pipeline.rehearsal.checks import Check
from pipeline.rehearsal.ground import PARTITIONS, Ground
from pipeline.rehearsal.proof import digests
from pipeline.rehearsal.telling import Telling
from pipeline.rehearsal.watching import Watch
from pipeline.rehearsal.worker_process import WorkerProcess
from pipeline.rehearsal.workers import partitions_of

DIGEST_SHOWN = 10


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
        *checks.replays(of_changelog, of_source, PARTITIONS),
        checks.equal(f"exit code of {victim.id}, asked to stop", 0, left_with),
        *checks.rebuilt(of_changelog, afterwards, lost),
    ]


def _short(digest: str | None) -> str:
    return "-" if digest is None else digest[:DIGEST_SHOWN]
