"""Every metric of a worker: its name, its labels and what it means, here and nowhere else.

All but `process_*` have the label `stage`, beside those that are named. What a scrape has to look up (positions, sizes,
ages) is a gauge of `pipeline.runtime.gauges`; the rest is counted by the loop, once a batch or a commit.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, NamedTuple

COMMIT_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
GET_BUCKETS: Final = (2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2, 0.1)
PUT_BUCKETS: Final = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0)
RESTORE_BUCKETS: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)

Kind = Literal["counter", "gauge", "histogram"]


class Spec(NamedTuple):
    """How Prometheus sees a metric."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class Metric(Enum):
    """What a worker measures."""

    # How much goes through, and what becomes of it
    RECORDS = Spec("statelog_records_total", "counter", "Records taken from the source, refused ones included")
    COMMITTED = Spec("statelog_committed_records_total", "counter", "Records whose commit is done")
    REFUSALS = Spec("statelog_refusals_total", "counter", "Records that a commit sent to the dead letters")
    DEAD_LETTERS = Spec(
        "statelog_dead_letters_total", "counter", "The same by reason, each from its first record on", ("reason",)
    )
    COMMIT_SECONDS = Spec(
        "statelog_commit_seconds",
        "histogram",
        "One commit, from sending the changelog to the stores' batches",
        (),
        COMMIT_BUCKETS,
    )
    ABORTS = Spec(
        "statelog_aborts_total",
        "counter",
        "Transactions whose work was dropped: aborted, fenced, or of unknown outcome",
        ("cause",),
    )

    # How far behind
    LAG_RECORDS = Spec("statelog_lag_records", "gauge", "Records from the position to the source's end", ("partition",))
    LAG_SECONDS = Spec(
        "statelog_lag_seconds", "gauge", "The same in seconds at the present rate; +Inf at none", ("partition",)
    )
    LAG_AGE = Spec("statelog_lag_age_seconds", "gauge", "Since the source's end was last heard", ("partition",))

    # The stores
    STORE_BYTES = Spec("statelog_store_bytes", "gauge", "What a partition's store takes on the disk", ("partition",))
    STORE_KEYS = Spec(
        "statelog_store_keys",
        "gauge",
        "Rows of a table, as RocksDB estimates: a row counts as often as it was written since it was last compacted",
        ("partition", "table"),
    )
    ROW_READS = Spec(
        "statelog_row_reads_total",
        "counter",
        "Rows asked for, of those that no record of the transaction had changed: found in the cache, or in the store",
        ("table", "found_in"),
    )
    STORE_GET_SECONDS = Spec(
        "statelog_store_get_seconds", "histogram", "One look into RocksDB; one of 64 is timed", (), GET_BUCKETS
    )
    STORE_PUT_SECONDS = Spec(
        "statelog_store_put_seconds", "histogram", "One partition's batch of a commit to its store", (), PUT_BUCKETS
    )
    QUARANTINED = Spec("statelog_quarantined_stores", "gauge", "Stores that lie in quarantine, until they are deleted")
    VERIFY_DIFFERS = Spec(
        "statelog_verify_differs",
        "gauge",
        "1 where the last verification found another state in the store than in the log, else 0",
        ("partition",),
    )

    # Recovery
    PARTITIONS = Spec("statelog_partitions", "gauge", "Partitions held, by what is done with them", ("state",))
    SOURCE_PARTITIONS = Spec("statelog_source_partitions", "gauge", "Partitions that the stage's source has")
    RESTORE_DEBT = Spec(
        "statelog_restore_debt_seconds",
        "gauge",
        "Seconds until a partition is restored, at the present rate; +Inf at none, 0 when it is",
        ("partition",),
    )
    RESTORE_LEFT = Spec(
        "statelog_restore_left_records", "gauge", "Changelog offsets before a restore, once it knows", ("partition",)
    )
    RESTORED = Spec("statelog_restored_records_total", "counter", "Changelog records folded by restores")
    RESTORE_SECONDS = Spec(
        "statelog_restore_seconds",
        "histogram",
        "One partition's restore, those included that found nothing to fold",
        (),
        RESTORE_BUCKETS,
    )
    STANDBY_LAG = Spec(
        "statelog_standby_lag_records",
        "gauge",
        "Changelog offsets that a partition's owner has committed and the standby here has not folded",
        ("partition",),
    )
    STANDBY_LAG_SECONDS = Spec(
        "statelog_standby_lag_seconds",
        "gauge",
        "Since the standby here was as far as its owner, or had to be there",
        ("partition",),
    )
    STUCK = Spec("statelog_stuck_partitions", "gauge", "Partitions that have work and have long made no progress")

    # The worker
    LOOP_AGE = Spec("statelog_loop_age_seconds", "gauge", "Since the loop last went round")
    CONFIRMED_AGE = Spec(
        "statelog_confirmed_age_seconds", "gauge", "Since the group last confirmed a worker that answers queries"
    )
    HTTP_PROBLEMS = Spec(
        "statelog_http_problems_total",
        "counter",
        "Requests that got no answer but a problem, by its status and kind",
        ("status", "problem"),
    )
    READY = Spec("statelog_ready", "gauge", "1 where /readyz says yes, else 0")
    INFO = Spec("statelog_worker_info", "gauge", "Always 1: who the worker is", ("worker", "group", "version"))
