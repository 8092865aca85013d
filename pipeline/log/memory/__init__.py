"""An in-memory Kafka: the twin of the real one as a worker sees it, held to the same contract tests.

For simulations and for tests of topologies: no thread, no wall clock, no randomness, no I/O. Time stands until
`MemoryCluster.advance`, and a poll gives what is there. What each part models, and what not, its module says; nowhere
modelled are several brokers, quotas, security, KIP-848 groups and a network that fails.

    cluster = MemoryCluster()
    log = cluster.connect(Settings())       # a process's clients: pipeline.log.api.Log
    log.admin().create_topics({"readings": {}}, partitions=4, replicas=1)
    cluster.feed("readings", [(b"press-07", b"…")])
"""

from pipeline.log.memory.clock import START_MS, ManualClock
from pipeline.log.memory.cluster import MemoryCluster
from pipeline.log.memory.log import MemoryLog
from pipeline.log.memory.markers import GROUP_OFFSETS
from pipeline.log.memory.records import MemoryRecord

__all__ = ["GROUP_OFFSETS", "START_MS", "ManualClock", "MemoryCluster", "MemoryLog", "MemoryRecord"]
