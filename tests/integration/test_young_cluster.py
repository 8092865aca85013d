"""A cluster that has only just begun."""

from __future__ import annotations

import threading
import time

from pipeline.log.admin import KafkaAdmin
from pipeline.settings import Settings
from tests.support.brokers import PrivateBroker


def test_a_coordinator_that_is_not_there_yet_is_waited_for(private_broker: PrivateBroker) -> None:
    # More copies than brokers: Kafka cannot make the topic without which there is no coordinator, until the test does.
    settings = Settings(
        bootstrap_servers=private_broker(offsets_topic_replication_factor="3").bootstrap_servers, prefix="young-"
    )
    admin, answers = KafkaAdmin(settings), []

    def ask() -> None:
        answers.append(admin.members("nobody"))
        admin.delete_group("nobody")

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.5)  # librdkafka would have given up looking for the coordinator
    assert answers == []
    KafkaAdmin(settings).create_topics({"__consumer_offsets": {"cleanup.policy": "compact"}}, 4, 1)
    asking.join()
    assert answers == [[]]
