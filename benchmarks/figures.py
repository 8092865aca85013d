"""From the runs of a suite to the figures of its tables: medians, spreads, and ratios within each round."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

Run = Mapping[str, Any]

OURS: Final = "statelog"


class Place(NamedTuple):
    """What runs must share to be compared with each other."""

    work: str
    devices: int
    keys: str

    def __str__(self) -> str:
        return f"({self.work}) {self.devices:,} devices, {self.keys}"


class Spread(NamedTuple):
    """Of one figure over the rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


def place(run: Run) -> Place:
    return Place(run["work"], run["devices"], run["keys"])


def label(run: Run) -> str:
    """A peer, and whether its JVM was warm."""
    return f"{run['peer']}, {run['warmth']}" if run["warmth"] else str(run["peer"])


def grouped(runs: Sequence[Run]) -> dict[Place, dict[str, list[Run]]]:
    """By place, then by peer, in the order in which they come."""
    found: defaultdict[Place, defaultdict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        found[place(run)][label(run)].append(run)
    return {where: dict(peers) for where, peers in found.items()}


def rate(run: Run) -> float:
    """Events a second."""
    return float(run["records"] / run["seconds"])


def rate_of_a_core(run: Run) -> float:
    """Events a second of CPU."""
    return float(run["records"] / max(run["cpu_s"], 0.01))


def per_million(run: Run, figure: str) -> float | None:
    value = run[figure]
    return None if value is None else value / run["records"] * 1e6


def per_event(run: Run, figure: str) -> float | None:
    value = run[figure]
    return None if value is None else value / run["records"]


def spread(runs: Sequence[Run], figure: Callable[[Run], float | None]) -> Spread | None:
    """None where it could not be measured."""
    values = [value for run in runs if (value := figure(run)) is not None]
    return Spread.of(values) if values else None


def ratio(ours: Sequence[Run], theirs: Sequence[Run], figure: Callable[[Run], float]) -> Spread | None:
    """How many times statelog does what the peer does: each round's own ratio, since machines change from hour to hour.

    None where no round has both.
    """
    by_round = {run["round"]: figure(run) for run in theirs}
    ratios = [figure(run) / by_round[run["round"]] for run in ours if run["round"] in by_round]
    return Spread.of(ratios) if ratios else None
