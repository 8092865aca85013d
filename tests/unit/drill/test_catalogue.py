"""The drills as such: what they say they do, and what they rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.drill.catalogue import ALL, DRILLS
from pipeline.drill.zombie import FENCE, ON_ANY_BROKER, ON_OWN_BROKER
from pipeline.runtime import worker


def test_each_has_a_name_a_line_and_a_number() -> None:
    assert list(DRILLS) == ["kill", "disk-loss", "broker-restart", "zombie", "poison", "rebalance-storm"]
    assert ALL not in DRILLS
    for drill in DRILLS.values():
        assert drill.shows
        assert drill.times > 0


@pytest.mark.parametrize("own_broker", [True, False])
def test_a_transaction_ends_before_its_workers_session(own_broker: bool) -> None:
    for drill in DRILLS.values():
        session, transaction = drill.time_outs(own_broker=own_broker)
        assert transaction < session


def test_a_zombies_session_is_one_that_its_broker_allows() -> None:
    """Kafka's least is 6 s unless somebody has lowered it, as the embedded broker has."""
    assert ON_ANY_BROKER.session >= 6_000
    assert ON_OWN_BROKER.session < ON_ANY_BROKER.session


def test_the_fence_is_told_in_words_that_a_worker_says() -> None:
    text = Path(worker.__file__).read_text()
    assert all(f'"{event}"' in text for event in FENCE)
