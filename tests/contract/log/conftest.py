"""The fixture that gives every test of the contract both logs, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import pipeline.log.kafka
from tests.contract.log.grounds import SESSION_MS, Ground, KafkaGround, MemoryGround


@pytest.fixture(params=["memory", "kafka"])
def ground(request: pytest.FixtureRequest, prefix: str) -> Iterator[Ground]:
    if request.param == "memory":
        made: Ground = MemoryGround(prefix)
    else:
        made = KafkaGround(prefix, request.getfixturevalue("kafka").bootstrap_servers)
    yield made
    made.close()


@pytest.fixture(params=["memory", "kafka"])
def impatient(request: pytest.FixtureRequest, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """Where a member that has not polled for as long as a session is out."""
    if request.param == "memory":
        made: Ground = MemoryGround(prefix, max_poll_interval_ms=SESSION_MS)
    else:
        monkeypatch.setattr(pipeline.log.kafka, "MAX_POLL_INTERVAL_MS", SESSION_MS)
        made = KafkaGround(prefix, request.getfixturevalue("kafka").bootstrap_servers)
    yield made
    made.close()
