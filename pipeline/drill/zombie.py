"""A worker that stands still for so long that others take its place, and then goes on as if nothing had been."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pipeline.drill.drill import Drill
from pipeline.rehearsal.time_outs import TimeOuts

if TYPE_CHECKING:
    from pipeline.drill.scene import Scene
    from pipeline.rehearsal.checks import Check

FENCE: Final = ("producer lost", "transaction aborted", "partitions lost with open work")
"""What a worker's log says when its open work was refused."""
SHORT: Final = TimeOuts(6_000, 5_000)
"""Kafka's least session, where nobody has lowered it. Each zombie sleeps for longer than that."""
MARGIN_S: Final = 1.0


class Zombie(Drill):
    """Workers of both stages in turn."""

    name = "zombie"
    shows = "a worker stopped in a transaction until others have its partitions; awake again, it is fenced"
    times = 2
    time_outs = SHORT

    def provoke(self, scene: Scene, times: int) -> Sequence[Check]:
        from pipeline.rehearsal.checks import equal

        hits = fenced = 0
        over = max(self.time_outs) / 1000 + MARGIN_S
        for number in scene.rounds(times):
            victim = scene.victim(number)
            partitions = scene.held_by(victim)
            folded = scene.until_hit(victim, victim.freeze_in_open_work)
            stopped_at = time.monotonic()
            hits += folded > 0
            seconds = scene.until_progress({victim.stage: partitions}, stopped_at)
            _wait_until(scene, stopped_at + over)
            said = len(victim.said(*FENCE))
            victim.thaw()
            asleep = time.monotonic() - stopped_at
            scene.until_settled()  # it is a member again, so it has learnt that it was none
            refusals = [line["event"] for line in victim.said(*FENCE)[said:]]
            fenced += bool(refusals)
            scene.tell(number, f"{victim.id}, stopped for {asleep:.1f} s with {folded:,} messages taken and not "
                       f"committed; awake: {', '.join(refusals) or 'as if nothing had been'}", seconds)  # fmt: skip
        return [
            equal("stops that hit work taken and not committed", times, hits),
            equal("  zombies whose work was refused", times, fenced),
        ]


def _wait_until(scene: Scene, moment: float) -> None:
    scene.until("session and transaction are over", lambda: time.monotonic() > moment)
