"""kill -9 of the broker itself."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.drill.drill import Drill

if TYPE_CHECKING:
    from pipeline.drill.scene import Scene
    from pipeline.rehearsal.checks import Check


class BrokerRestart(Drill):
    """The only broker, so that nobody can take over: workers and input have to wait for it."""

    name = "broker-restart"
    shows = "kill -9 of the broker while transactions are open; it is started again on the same data"
    times = 1
    needs_own_broker = True

    def provoke(self, scene: Scene, times: int) -> Sequence[Check]:
        from pipeline.rehearsal.checks import equal

        hits = gone = 0
        broker = scene.own_broker
        for number in scene.rounds(times):
            witness = scene.victim(number)
            pid = broker.pid
            # Frozen for a moment: where it was seen it would not stay until the broker is dead.
            hits += scene.until_hit(witness, witness.freeze_in_open_work) > 0
            broker.kill()
            killed_at = time.monotonic()
            gone += not _exists(pid)
            witness.thaw()
            broker.start()
            away = time.monotonic() - killed_at
            seconds = scene.until_progress(scene.partitions, killed_at)
            scene.tell(number, f"the broker, pid {pid}, with a transaction of {witness.id} open; away for {away:.1f} s",
                       seconds)  # fmt: skip
            scene.until_settled()
        return [
            equal("kills -9 after which the broker's process was gone", times, gone),
            equal("  that hit work taken and not committed", times, hits),
        ]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
