"""The benchmark of large state, small, on a real Kafka: whole once, and its checks refuse what is wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.large import checks, report
from benchmarks.large.checks import WrongState
from benchmarks.large.readings import Fleet
from benchmarks.large.scenario import Scenario, Sizes
from benchmarks.large.workers import Told
from benchmarks.measure import Ground
from tests.support.brokers import Kafka

SIZES = Sizes(devices=400, readings=2_000, killed=1_000, starts=1, rounds=1)


@contextmanager
def no_bar(what: str, records: int) -> Iterator[Told]:
    yield lambda _done: None


def test_everything_is_measured_and_checked(
    kafka: Kafka, figure: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checked: list[int] = []
    digests: list[dict[int, str]] = []
    whole, digest_of = checks.check, checks.digests

    def check(data_dir: Path, fleet: Fleet, readings: int) -> int:
        checked.append(readings)
        with pytest.raises(WrongState, match="not as many readings"):
            whole(data_dir, fleet, readings + 1)
        with pytest.raises(WrongState):
            whole(data_dir, Fleet(fleet.devices - 1), readings)
        return whole(data_dir, fleet, readings)

    def digest(data_dir: Path) -> dict[int, str]:
        digests.append(digest_of(data_dir))
        return digests[-1]

    monkeypatch.setattr(checks, "check", check)
    monkeypatch.setattr(checks, "digests", digest)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    found = Scenario(Ground(kafka.bootstrap_servers, None), SIZES, no_bar, None).run()

    sent = SIZES.devices + SIZES.readings + SIZES.starts * SIZES.killed
    assert checked == [sent]
    assert found.figures["rows"] == sent, "a row a device, and one of each window that a later reading closed"
    assert [len(starts) for starts in found.starts.values()] == [SIZES.starts, SIZES.starts]
    (restores,) = found.restores
    assert restores["statelog"]["records"] >= sent
    assert restores["statelog, 2 workers"]["records"] >= sent
    assert len(digests) == 3, "before, and after each restore"
    assert all(each == digests[0] for each in digests)
    rate, back_s = found.figures["ingest_rate"], report.slowest(vars(found), "killed", "ready_s")
    figure(f"{sent} readings of {SIZES.devices} devices: {rate:,.0f} events/s, {back_s:.1f} s to active after kill -9")
    assert not list(tmp_path.iterdir()), "nothing is left behind"
