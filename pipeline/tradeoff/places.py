"""The four places of state."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Place(StrEnum):
    """Where the tables are."""

    ROCKSDB = "rocksdb"
    MEMORY = "memory"
    REDIS = "redis"
    RECOMPUTED = "recomputed"


SHOWS: Final = {
    Place.ROCKSDB: "a RocksDB on the worker's disk, and changelog topics: as statelog ships",
    Place.MEMORY: "the worker's memory, and changelog topics: the same worker, without a disk",
    Place.REDIS: "a Redis: stateless workers fetch the rows of each batch, and write them back before its commit",
    Place.RECOMPUTED: "nowhere: each question reads the device's partition from its beginning, and folds it",
}
