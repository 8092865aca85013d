"""Clients that are given up are gone, not left to ask on."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from pipeline.errors import Retryable
from pipeline.log.config import common
from pipeline.log.coordinated import CoordinatedClient
from pipeline.log.kafka import KafkaLog
from pipeline.settings import Settings
from tests.support.waiting import eventually

NOWHERE = Settings(bootstrap_servers="127.0.0.1:9", transaction_timeout_ms=1_000)


def clients_threads() -> set[str]:
    """Threads of librdkafka in this process; each client has some. Clients of other tests may be ending."""
    found = set()
    for name in Path("/proc/self/task").glob("*/comm"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if name.read_text().startswith("rdk:"):
                found.add(name.parent.name)
    return found


@pytest.fixture
def no_collector() -> Iterator[None]:
    """As a worker has it: errors that refer to each other stay for long."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_a_producer_that_could_not_be_made_is_gone() -> None:
    log, before = KafkaLog(NOWHERE), clients_threads()
    with pytest.raises(Retryable) as kept:
        log.sink("x")
    eventually(lambda: clients_threads() <= before, "nothing of it is left")
    assert kept


@pytest.mark.usefixtures("no_collector")
def test_a_client_that_found_no_coordinator_is_gone() -> None:
    before = clients_threads()
    ask = CoordinatedClient(common(NOWHERE), 0.5)
    with pytest.raises(KafkaException) as kept:
        ask(lambda client, timeout_s: client.describe_consumer_groups(["x"], request_timeout=timeout_s)["x"])
    assert clients_threads() - before, "it has no threads to end"
    eventually(lambda: clients_threads() <= before, "nothing of it is left")
    assert kept
