"""What a dead owner leaves behind: an open transaction, which its heir need not wait for.

A worker that dies in the middle of a commit leaves its transaction open until the broker's time-out, and whoever gets
its partitions waits for that: its last offsets are not stable, its last records not readable. A new producer under the
dead one's transactional id ends it at once, as the dead worker itself would if it came back.

That is done for a worker that the group no longer has, whose partition the group has given to this one, when that
partition's restore has not come to its end within a moment; never on a suspicion of this worker's own. It is safe
whoever was wrong: a transaction is seen whole or not at all, and the restore learns which. See docs/decisions/0011.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import structlog

from pipeline.errors import PipelineError
from pipeline.runtime.placement import Group

PATIENCE_S = 0.1
"""For a restore that waits for nobody: most dead workers leave no transaction open."""

logger = structlog.get_logger(__name__)


class Inheritance:
    """Told of each look at the group, on one thread."""

    def __init__(
        self, worker_id: str, waiting: Callable[[], Collection[int]], end_transaction: Callable[[str], None]
    ) -> None:
        """`waiting`: partitions of this worker that are not active yet. `end_transaction`: of a worker, by its id."""
        self._worker_id = worker_id
        self._waiting = waiting
        self._end_transaction = end_transaction
        self._former: dict[int, str] = {}
        """By partition, the last owner other than this worker."""
        self._since: dict[int, float] = {}
        """By partition, when it was first seen waiting."""
        self._ended: set[str] = set()
        """Workers that are gone and have been seen to."""

    def look(self, group: Group, now: float) -> bool:
        """End the open transactions of those whose partitions have come here; whether to look again soon."""
        self._former |= {partition: owner for partition, owner in group.owners.items() if owner != self._worker_id}
        self._ended -= group.workers
        waiting = self._waiting()
        self._since = {each: self._since.get(each, now) for each in waiting}
        soon = False
        for partition in sorted(waiting):
            former = self._former.get(partition)
            if former is None or former in group.workers or former in self._ended:
                continue
            if group.owners.get(partition) != self._worker_id or now - self._since[partition] < PATIENCE_S:
                soon = True
            else:
                self._end(former)
        return soon

    def _end(self, worker_id: str) -> None:
        self._ended.add(worker_id)
        try:
            self._end_transaction(worker_id)
        except PipelineError as error:
            logger.warning("a dead worker's transaction is left to its time-out", worker=worker_id, reason=str(error))
        else:
            logger.info("a dead worker's transaction is ended", worker=worker_id)
