"""kill -9 of workers with open work, and the loss of their disks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.drill.drill import Drill

if TYPE_CHECKING:
    from pipeline.drill.scene import Scene
    from pipeline.rehearsal.checks import Check
    from pipeline.rehearsal.worker_process import WorkerProcess


class Kill(Drill):
    """Workers of both stages in turn."""

    name = "kill"
    shows = "kill -9 of a worker in the middle of a transaction; it is started again, and its disk is kept"
    times = 3

    def victim(self, scene: Scene, number: int) -> WorkerProcess:
        return scene.victim(number)

    def aftermath(self, _victim: WorkerProcess) -> str:
        """What else happens before it is started again."""
        return ""

    def provoke(self, scene: Scene, times: int) -> Sequence[Check]:
        from pipeline.rehearsal.checks import equal

        hits = 0
        for number in scene.rounds(times):
            victim = self.victim(scene, number)
            partitions = scene.held_by(victim)
            folded = scene.until_hit(victim, victim.kill_in_open_work)
            killed_at = time.monotonic()
            hits += folded > 0
            aftermath = self.aftermath(victim)
            victim.start()
            seconds = scene.until_progress({victim.stage: partitions}, killed_at)
            scene.tell(number, f"{victim.id}, {folded:,} messages taken and not committed{aftermath}", seconds)
            scene.until_settled()
        return [equal("kills -9 that hit work taken and not committed", times, hits)]


class DiskLoss(Kill):
    """Only aggregate workers have something to lose."""

    name = "disk-loss"
    shows = "kill -9 of an aggregate worker with open work, and its disk deleted; its state comes back by replay"
    times = 2

    def victim(self, scene: Scene, number: int) -> WorkerProcess:
        return scene.workers.aggregates[(number + 1) % 2]

    def aftermath(self, victim: WorkerProcess) -> str:
        files, size = victim.lose_disk()
        return f"; {files:,} files of {size / 1e6:,.1f} MB deleted"
