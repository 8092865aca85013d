"""The drills as such: what they say they do, and what they rely on."""

from __future__ import annotations

from pathlib import Path

from pipeline.drill.catalogue import ALL, DRILLS
from pipeline.drill.zombie import FENCE
from pipeline.runtime import worker


def test_each_has_a_name_a_line_and_a_number() -> None:
    assert list(DRILLS) == ["kill", "disk-loss", "zombie", "poison", "rebalance-storm", "broker-restart"]
    assert ALL not in DRILLS
    for drill in DRILLS.values():
        assert drill.shows
        assert drill.times > 0


def test_a_transaction_ends_before_its_workers_session_and_any_broker_allows_both() -> None:
    """Kafka's least session is 6 s unless somebody has lowered it."""
    for drill in DRILLS.values():
        assert drill.time_outs.transaction < drill.time_outs.session
        assert drill.time_outs.session >= 6_000


def test_the_fence_is_told_in_words_that_a_worker_says() -> None:
    text = Path(worker.__file__).read_text()
    assert all(f'"{event}"' in text for event in FENCE)
