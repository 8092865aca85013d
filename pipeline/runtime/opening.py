"""How a worker comes by the store of a partition: as it was left, or new where that cannot be trusted."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

import msgspec
import structlog

from pipeline.errors import StateForeign, StateLost, StateUnusable
from pipeline.log.api import Admin, TopicPartition
from pipeline.runtime.restore import REBUILD_HINT
from pipeline.state.api import Store, StoreIdentity, Stores

logger = structlog.get_logger(__name__)


def let_go(error: BaseException) -> None:
    """The frames that an error came through still refer to the database, which stays open as long as they do."""
    for each in (error, error.__cause__):
        if each is not None:
            traceback.clear_frames(each.__traceback__)


class StoreOpener:
    """Of one stage of one worker. Two threads may open stores of different partitions."""

    def __init__(
        self, stores: Stores, identity: StoreIdentity, tables: Sequence[str], admin: Admin, group: str, source: str
    ) -> None:
        """`identity` is a store's but for its partition; `source` is the stage's topic, by its full name."""
        self.stores = stores
        self._identity = identity
        self._tables = tables
        self._admin = admin
        self._group = group
        self._source = source

    def identity(self, partition: int) -> StoreIdentity:
        return msgspec.structs.replace(self._identity, partition=partition)

    def open(self, partition: int) -> Store:
        """Raises StateLost for a store that nothing but a rebuild may follow, and what no quarantine mends."""
        try:
            return self.stores.open(self.identity(partition), self._tables)
        except StateForeign as error:
            self._require_committed(partition, error)
            self.quarantine(partition, error)
        except StateUnusable as error:
            self.quarantine(partition, error)
        return self.stores.open(self.identity(partition), self._tables)

    def _require_committed(self, partition: int, why: StateForeign) -> None:
        """A store of topics that are gone, and a group that knows nothing: to go on would be to start empty.

        A rebuild or a reset leaves offsets that name the new topics.
        """
        source = TopicPartition(self._source, partition)
        if self._admin.group_offsets(self._group, [source])[source] is None:
            raise StateLost(
                "no committed offset, beside the store of topics that were made anew", hint=REBUILD_HINT, **why.data
            ) from why

    def quarantine(self, partition: int, why: StateUnusable) -> None:
        """Put it aside; it is closed."""
        moved = self.stores.quarantine(partition, str(why))
        logger.warning("store put in quarantine, rebuilding", partition=partition, why=str(why), kept=str(moved))
