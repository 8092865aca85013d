"""Where a standby stops: exactly where its owner's changelogs were at a commit."""

from __future__ import annotations

from pipeline.log.api import Committed, TopicPartition
from pipeline.log.memory import MemoryCluster
from pipeline.log.memory.admin import MemoryAdmin
from pipeline.runtime.clock import MACHINE_CLOCK
from pipeline.runtime.crash import nowhere
from pipeline.runtime.metadata import CommittedMetadata
from pipeline.runtime.tail import Standby, Tail
from pipeline.state.api import StoreIdentity
from pipeline.state.memory import MemoryStore

SOURCE = TopicPartition("in", 0)


def test_a_changelog_without_a_record_at_the_commit_is_not_read_beyond_it() -> None:
    """A fresh owner has committed rows of one table, and goes on to the first row of the other."""
    cluster = MemoryCluster()
    admin = MemoryAdmin(cluster)
    topics = ["in", "first-changelog", "second-changelog"]
    admin.create_topics({topic: {} for topic in topics}, 1, 1)
    ids = {topic: info.topic_id for topic, info in admin.topics(topics).items()}
    tables = {"first": ids["first-changelog"], "second": ids["second-changelog"]}
    for topic in topics:
        cluster.feed(topic, [(b"key", b"value")] * 3)
    store = MemoryStore(StoreIdentity("words", "1", 0, tables, ids["in"]), list(tables))
    tail = Tail(Standby(SOURCE, ids["in"], store), "", nowhere, MACHINE_CLOCK, 1 << 20)
    metadata = CommittedMetadata(ids["in"], {"first": (tables["first"], 2)}, None, 1)
    plan = tail.prepare(Committed(1, metadata.encode()), admin)
    assert plan.target == {"first": 2, "second": 0}
    tail.aim(Committed(1, metadata.encode()))
    assert tail.plan is not None
    assert tail.plan.target == {"first": 2, "second": 0}
