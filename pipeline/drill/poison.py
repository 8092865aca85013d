"""Broken messages of every kind among the good ones."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.drill.drill import Drill

if TYPE_CHECKING:
    from pipeline.drill.scene import Scene
    from pipeline.rehearsal.checks import Check


class Poison(Drill):
    """No worker may stop for it, and every one of them has to be in the dead letters, under its reason."""

    name = "poison"
    shows = "5 % broken messages of every known kind; each is a dead letter with its reason, and nobody stops"
    times = 5
    bad_percent = 5.0

    def provoke(self, scene: Scene, times: int) -> Sequence[Check]:
        from pipeline.rehearsal.checks import equal
        from pipeline.rehearsal.worker_process import TRANSFORM
        from pipeline.telemetry.poison import POISONS

        def least() -> int:
            """How often even the rarest kind was sent."""
            sent: Mapping[str, int] = scene.source.tally.broken_by_kind
            return min(sent.get(poison.kind, 0) for poison in POISONS)

        for number in scene.rounds(times):
            already = least()
            scene.until("every kind was sent once more", lambda: least() > already)  # noqa: B023
            broken = scene.source.tally.broken
            seconds = scene.until_progress({TRANSFORM: scene.partitions[TRANSFORM]}, time.monotonic())
            scene.tell(number, f"{broken:,} broken messages so far, each of {len(POISONS)} kinds at least "
                       f"{least():,} times", seconds)  # fmt: skip
        sent = scene.source.tally.broken_by_kind
        return [equal("kinds of broken messages sent", len(POISONS), len(sent))]
