"""Each check of the demonstration fails when its figures differ: it is no decoration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from pipeline.errors import StatesDiffer
from pipeline.rehearsal import checks
from pipeline.rehearsal.checks import Check, conclude
from pipeline.rehearsal.recount import DeviceCount, MetricCount, Recount

RECOUNT = Recount(
    devices={
        "press-1": DeviceCount({"power": MetricCount(3, 6.0), "speed": MetricCount(1, 0.1 + 0.2)}, duplicates=1),
        "pump-2": DeviceCount({"power": MetricCount(2, 5.0)}),
    },
    readings=6,
    duplicates=1,
)


def states() -> dict[str, Any]:
    """What the workers would serve."""
    return {
        "press-1": {
            "readings": 4,
            "duplicates": 1,
            "metrics": {"power": {"count": 3, "sum": 6.0}, "speed": {"count": 1, "sum": 0.3}},
        },
        "pump-2": {"readings": 2, "duplicates": 0, "metrics": {"power": {"count": 2, "sum": 5.0}}},
    }


def verdict(digest: str = "aa", replay: str = "aa", **changes: Any) -> dict[str, Any]:
    same = {"position": 7, "digest_store": digest, "digest_replay": replay, "equal": digest == replay, "provable": True}
    return same | changes


def failed(found: list[Check]) -> list[str]:
    return [check.what.strip() for check in found if not check.passed]


def test_the_same_states_pass() -> None:
    assert not failed(checks.device_states(RECOUNT, states()))


def change_count(state: dict[str, Any]) -> None:
    state["press-1"]["metrics"]["power"]["count"] += 1
    state["press-1"]["readings"] += 1


def change_only_the_total(state: dict[str, Any]) -> None:
    state["press-1"]["readings"] -= 1


def change_sum(state: dict[str, Any]) -> None:
    state["press-1"]["metrics"]["power"]["sum"] *= 1 + 2e-9


def change_duplicates(state: dict[str, Any]) -> None:
    state["pump-2"]["duplicates"] += 1


def swap_a_reading(state: dict[str, Any]) -> None:
    """The totals stay, two devices differ."""
    state["press-1"]["metrics"]["power"]["count"] -= 1
    state["press-1"]["readings"] -= 1
    state["pump-2"]["metrics"]["power"]["count"] += 1
    state["pump-2"]["readings"] += 1


def lose_a_device(state: dict[str, Any]) -> None:
    del state["pump-2"]


COUNTS, SUMS = "devices with another count", "devices with another sum (beyond 1e-09)"
FOLDED, METRICS = "readings folded", "sum of the counts of all metrics"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (change_count, {FOLDED, METRICS, COUNTS}),
        (change_only_the_total, {FOLDED, COUNTS}),
        (change_sum, {SUMS}),
        (change_duplicates, {"duplicates set aside", COUNTS}),
        (swap_a_reading, {COUNTS}),
        (lose_a_device, {"devices", FOLDED, METRICS, COUNTS, SUMS}),
    ],
)
def test_other_states_fail(change: Callable[[dict[str, Any]], None], what: set[str]) -> None:
    changed = deepcopy(states())
    change(changed)
    assert set(failed(checks.device_states(RECOUNT, changed))) == what


def test_the_figures_of_a_check_are_both_sides() -> None:
    changed = states()
    lose_a_device(changed)
    devices, *_ = checks.device_states(RECOUNT, changed)
    assert (devices.expected, devices.actual) == (2, 1)


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (Counter({(0, 1): 1, (0, 2): 1}), []),
        (Counter({(0, 1): 1}), ["readings lost"]),
        (Counter({(0, 1): 1, (0, 2): 2}), ["readings doubled"]),
        (Counter({(0, 1): 1, (0, 2): 1, (3, 4): 1}), ["readings from nowhere"]),
    ],
)
def test_each_thing_has_to_be_there_once(found: Counter[tuple[int, int]], what: list[str]) -> None:
    assert failed(checks.each_once("readings", {(0, 1), (0, 2)}, found)) == what


def test_what_is_amiss_is_named_by_example() -> None:
    lost, *_ = checks.each_once("readings", {(0, 1), (0, 2)}, {(0, 1): 1})
    assert lost.why == "such as (0, 2)"


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ({"empty": 2, "future": 1}, []),
        ({"empty": 2}, ["dead letters, of broken messages sent", "reasons with another count"]),
        ({"empty": 1, "future": 2}, ["reasons with another count"]),
        ({"empty": 2, "not-json": 1}, ["reasons with another count"]),
    ],
)
def test_dead_letters_are_compared_reason_by_reason(found: dict[str, int], what: list[str]) -> None:
    assert failed(checks.dead_letters({"empty": 2, "future": 1}, found)) == what


LIVE_IS_CHANGELOG, LIVE_IS_SOURCE = "live store = changelog replayed", "live store = source folded anew"
ONE_PLACE, ONE_STORE = "partitions proved at one source position", "both proofs saw the same store"


@pytest.mark.parametrize(
    ("of_changelog", "of_source", "what"),
    [
        ({0: verdict(), 1: verdict()}, {0: verdict(), 1: verdict()}, set()),
        ({0: verdict(), 1: verdict(replay="bb")}, {0: verdict(), 1: verdict()}, {LIVE_IS_CHANGELOG}),
        ({0: verdict(), 1: verdict()}, {0: verdict(), 1: verdict(replay="bb")}, {LIVE_IS_SOURCE}),
        ({0: verdict(), 1: verdict()}, {0: verdict(), 1: verdict(position=8)}, {ONE_PLACE}),
        ({0: verdict(), 1: verdict()}, {0: verdict(), 1: verdict("bb", "bb")}, {ONE_STORE}),
        ({0: verdict(), 1: verdict(provable=False)}, {0: verdict(), 1: verdict()}, {LIVE_IS_CHANGELOG}),
        ({0: verdict()}, {0: verdict()}, {ONE_PLACE, LIVE_IS_CHANGELOG, LIVE_IS_SOURCE, ONE_STORE}),
    ],
)
def test_stores_are_equal_to_both_replays(
    of_changelog: checks.Verdicts, of_source: checks.Verdicts, what: set[str]
) -> None:
    assert set(failed(checks.replays(of_changelog, of_source, 2))) == what


@pytest.mark.parametrize(
    ("after", "lost", "what"),
    [
        ({0: verdict(), 1: verdict()}, [1], []),
        ({0: verdict(), 1: verdict("bb", "bb")}, [1], ["rebuilt from nothing = before, same position"]),
        ({0: verdict(), 1: verdict(position=6)}, [1], ["rebuilt from nothing = before, same position"]),
        ({0: verdict()}, [1], ["rebuilt from nothing = before, same position"]),
        ({0: verdict(), 1: verdict()}, [], ["partitions on the disk lost again"]),
    ],
)
def test_a_rebuilt_store_is_what_it_was(after: checks.Verdicts, lost: list[int], what: list[str]) -> None:
    assert failed(checks.rebuilt({0: verdict(), 1: verdict()}, after, lost)) == what


def test_a_kill_that_hit_nobody_at_work_proves_nothing() -> None:
    assert checks.struck(12).passed
    assert not checks.struck(0).passed


def test_one_failed_check_fails_the_rehearsal() -> None:
    good = checks.equal("as it should be", 1, 1)
    conclude([good])
    with pytest.raises(StatesDiffer, match="1 of 2 checks failed: readings lost") as raised:
        conclude([good, checks.none("  readings lost", [(0, 2)])])
    assert raised.value.exit_code == 3
    assert raised.value.hint == "such as (0, 2)"
