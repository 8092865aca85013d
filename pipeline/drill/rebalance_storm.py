"""Members that join and leave, one after the other, faster than anybody should let them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.drill.drill import Drill

if TYPE_CHECKING:
    from pipeline.drill.scene import Scene
    from pipeline.rehearsal.checks import Check
    from pipeline.rehearsal.worker_process import WorkerProcess

EVERY_S: Final = 1.0
STAYS_S: Final = 1.0


@dataclass
class Visit:
    """One member that comes and goes."""

    worker: WorkerProcess
    joined_at: float | None = None
    left_at: float | None = None
    exit_code: int | None = None

    @property
    def over(self) -> bool:
        return self.exit_code is not None


class RebalanceStorm(Drill):
    """Visitors of the stage with state: each takes partitions over, restores them, and hands them back."""

    name = "rebalance-storm"
    shows = "members of the aggregate group join and leave each second; partitions move, and nothing is lost on the way"
    times = 8

    def provoke(self, scene: Scene, times: int) -> Sequence[Check]:
        from pipeline.rehearsal.checks import equal
        from pipeline.rehearsal.worker_process import AGGREGATE

        visits: list[Visit] = []
        hit = {AGGREGATE: scene.partitions[AGGREGATE]}
        began = time.monotonic()

        def gone_by() -> bool:
            now = time.monotonic()
            if len(visits) < times and now >= began + len(visits) * EVERY_S:
                visits.append(Visit(scene.workers.visit(AGGREGATE)))
            members = scene.addresses(AGGREGATE)
            for visit in visits:
                if visit.over:
                    continue
                if visit.left_at is None:
                    visit.worker.require_alive()
                elif visit.worker.has_ended():
                    visit.exit_code = visit.worker.end()
                    continue
                if visit.joined_at is None and visit.worker.address in members:
                    visit.joined_at = now
                    scene.recovery.hit(hit, now)
                elif visit.left_at is None and visit.joined_at is not None and now > visit.joined_at + STAYS_S:
                    visit.worker.ask_to_stop()
                    visit.left_at = now
                    scene.recovery.hit(hit, now)
            gone = sum(visit.over for visit in visits)
            scene.telling.bar("visitors", gone, times, f"{gone:>9,} of {times} came and went")
            return gone == times

        scene.until("every visitor came and went", gone_by)
        lasted = time.monotonic() - began
        scene.until("every partition goes on", lambda: not scene.recovery.waiting)
        scene.until_settled()
        scene.telling.detail(f"{times} visitors came and went in {lasted:.1f} s", visitors=times, seconds=lasted)
        return [
            equal("visitors that joined the group", times, sum(visit.joined_at is not None for visit in visits)),
            equal("  that left it with exit code 0", times, sum(visit.exit_code == 0 for visit in visits)),
        ]
