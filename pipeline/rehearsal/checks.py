"""What a rehearsal proves: each check holds what came out against what must have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.errors import StatesDiffer
from pipeline.rehearsal.recount import Recount

SUM_TOLERANCE = 1e-9
"""Relative: the recount adds in another order and converts units by other formulas."""
EXAMPLES = 3

Origin = tuple[int, int]
"""Partition and offset of telemetry."""
Verdicts = Mapping[int, Mapping[str, Any]]
"""By partition, the last line of its verification (`pipeline.verify.wire.Verdict`)."""


class Check(NamedTuple):
    """One claim with its figures."""

    what: str
    expected: Any
    actual: Any
    passed: bool
    why: str = ""
    """What is amiss, by example."""


def equal(what: str, expected: Any, actual: Any, why: str = "") -> Check:
    return Check(what, expected, actual, passed=expected == actual, why="" if expected == actual else why)


def none(what: str, found: Iterable[object]) -> Check:
    """That there are none of these."""
    listed = list(found)
    return equal(what, 0, len(listed), "such as " + ", ".join(map(str, listed[:EXAMPLES])))


def each_once(what: str, expected: Iterable[Origin], found: Mapping[Origin, int]) -> list[Check]:
    """That all of these were found, each once, and nothing else."""
    wanted = set(expected)
    return [
        none(f"{what} lost", sorted(wanted - found.keys())),
        none(f"{what} doubled", sorted(each for each, times in found.items() if times > 1)),
        none(f"{what} from nowhere", sorted(found.keys() - wanted)),
    ]


def dead_letters(expected: Mapping[str, int], found: Mapping[str, int]) -> list[Check]:
    """Broken messages by the reason they were sent to show, and dead letters by the reason they do show."""
    differing = [
        f"{reason}: {expected.get(reason, 0)} sent, {found.get(reason, 0)} found"
        for reason in sorted(expected.keys() | found.keys())
        if expected.get(reason, 0) != found.get(reason, 0)
    ]
    return [
        equal("dead letters, of broken messages sent", sum(expected.values()), sum(found.values())),
        none("  reasons with another count", differing),
    ]


def device_states(recount: Recount, states: Mapping[str, Mapping[str, Any]]) -> list[Check]:
    """The tables that the workers serve against the recount: totals, and device by device."""
    metrics = [metric for state in states.values() for metric in state["metrics"].values()]
    return [
        equal("devices", len(recount.devices), len(states)),
        equal("readings folded", recount.readings, sum(state["readings"] for state in states.values())),
        equal("  sum of the counts of all metrics", recount.readings, sum(metric["count"] for metric in metrics)),
        equal("  duplicates set aside", recount.duplicates, sum(state["duplicates"] for state in states.values())),
        none("devices with another count", _differing(recount, states, _same_counts)),
        none(f"devices with another sum (beyond {SUM_TOLERANCE:g})", _differing(recount, states, _same_sums)),
    ]


def replays(of_changelog: Verdicts, of_source: Verdicts, partitions: int) -> list[Check]:
    """Live stores against both replays, at one source position."""
    both = [(of_changelog[each], of_source[each]) for each in range(partitions)
            if each in of_changelog and each in of_source]  # fmt: skip
    same_place = [one for one, other in both if one["position"] == other["position"]]
    return [
        equal("partitions proved at one source position", partitions, len(same_place)),
        equal("  live store = changelog replayed", partitions, _agreeing(of_changelog)),
        equal("  live store = source folded anew", partitions, _agreeing(of_source)),
        equal("  both proofs saw the same store", partitions,
              sum(one["digest_store"] == other["digest_store"] for one, other in both)),
    ]  # fmt: skip


def rebuilt(before: Verdicts, after: Verdicts, partitions: Iterable[int]) -> list[Check]:
    """Stores rebuilt from nothing against what they were, at the same source position."""
    lost = list(partitions)
    same = [each for each in lost if each in before and each in after
            and all(before[each][name] == after[each][name] for name in ("position", "digest_store"))]  # fmt: skip
    at_all = Check("partitions on the disk lost again", "> 0", len(lost), passed=bool(lost))
    return [at_all, equal("  rebuilt from nothing = before, same position", len(lost), len(same))]


def struck(folded: int) -> Check:
    """That the kill hit a worker that had folded so many readings and not yet committed them."""
    return Check("readings folded and not committed at kill -9", "> 0", folded, passed=folded > 0)


def conclude(proof: Sequence[Check]) -> None:
    """Raises StatesDiffer unless every check has passed."""
    failed = [check for check in proof if not check.passed]
    if failed:
        raise StatesDiffer(
            f"{len(failed)} of {len(proof)} checks failed: " + "; ".join(check.what.strip() for check in failed),
            hint="; ".join(check.why for check in failed if check.why) or "the figures are in the table above",
        )


def _agreeing(verdicts: Verdicts) -> int:
    return sum(
        bool(verdict["provable"] and verdict["equal"] and verdict["digest_store"] == verdict["digest_replay"])
        for verdict in verdicts.values()
    )


def _differing(recount: Recount, states: Mapping[str, Mapping[str, Any]], same: Any) -> list[str]:
    return sorted(
        device
        for device in recount.devices.keys() | states.keys()
        if device not in recount.devices or device not in states or not same(recount.devices[device], states[device])
    )


def _same_counts(counted: Any, state: Mapping[str, Any]) -> bool:
    counts = {name: metric.count for name, metric in counted.metrics.items()}
    return (
        counts == {name: metric["count"] for name, metric in state["metrics"].items()}
        and sum(counts.values()) == state["readings"]
        and counted.duplicates == state["duplicates"]
    )


def _same_sums(counted: Any, state: Mapping[str, Any]) -> bool:
    return counted.metrics.keys() == state["metrics"].keys() and all(
        math.isclose(metric.sum, state["metrics"][name]["sum"], rel_tol=SUM_TOLERANCE, abs_tol=SUM_TOLERANCE)
        for name, metric in counted.metrics.items()
    )
