"""What was measured of one place, and the table of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from pipeline.tradeoff.account import Verdict
from pipeline.tradeoff.places import Place

NOTHING: Final = "-"
"""There is no such thing there, or the system does not tell."""


@dataclass(frozen=True)
class Network:
    """Of all readings of the steady phase, or of all questions: counted by the clients, and by Redis."""

    events: float
    kafka_bytes: int
    kafka_round_trips: int
    redis_bytes: int = 0
    redis_round_trips: int = 0

    @property
    def bytes_each(self) -> float:
        return (self.kafka_bytes + self.redis_bytes) / self.events

    @property
    def round_trips_each(self) -> float:
        return (self.kafka_round_trips + self.redis_round_trips) / self.events


@dataclass(frozen=True)
class Down:
    """The store gone under load, and what became of it."""

    words: str
    away_s: float | None = None
    """How long it was gone."""
    committed_meanwhile: int | None = None
    """Readings, while it was gone."""
    back_s: float | None = None
    """From its return until everything went on."""


@dataclass(frozen=True)
class Figures:
    """Of one place. None: there is no such thing."""

    place: Place
    verdict: Verdict
    down: Down
    question_p50_ms: float | None
    question_p99_ms: float | None
    readings_behind_a_question: int
    """That were in the log when the questions were asked, or more."""
    events_per_s: float | None = None
    result_p50_ms: float | None = None
    """From a reading to the result of the window that it closes, there to be read."""
    result_p99_ms: float | None = None
    of_an_event: Network | None = None
    of_a_question: Network | None = None
    worker_mb: float | None = None
    """The most memory that the worker held."""
    store_mb: float | None = None
    """The memory of the store where that is a process of its own."""
    disk_mb: float | None = None
    """Of stores and changelogs; the readings themselves are the same everywhere, and left out."""
    kills: int = 0
    recovery_s: float | None = None
    """From the start of a worker killed with kill -9 until all its partitions went on; the median."""
    folded_again: int | None = None
    """Readings that the kills had folded twice, were it not for the check of their origin."""
    join_s: float | None = None
    """From the start of one more worker until it has committed in all partitions that it took over."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Measure:
    """A row of the table."""

    def __init__(self, name: str, of: Callable[[Figures], float | str | None]) -> None:
        self.name = name
        self.of = of


def _verdict(name: str) -> Callable[[Figures], int]:
    return lambda figures: int(getattr(figures.verdict, name))


def _results(name: str) -> Callable[[Figures], int | None]:
    """Of windows; nobody sends any where no worker runs."""
    return lambda figures: None if figures.of_an_event is None else int(getattr(figures.verdict, name))


def _network(of: str, name: str, times: int = 1) -> Callable[[Figures], float | None]:
    def counted(figures: Figures) -> float | None:
        network: Network | None = getattr(figures, of)
        return None if network is None else float(getattr(network, name)) * times

    return counted


MEASURES: Final = (
    Measure("readings folded a second, at full speed", lambda each: each.events_per_s),
    Measure("reading to result, p50, ms", lambda each: each.result_p50_ms),
    Measure("reading to result, p99, ms", lambda each: each.result_p99_ms),
    Measure("question to answer, p50, ms", lambda each: each.question_p50_ms),
    Measure("question to answer, p99, ms", lambda each: each.question_p99_ms),
    Measure("network bytes a reading", _network("of_an_event", "bytes_each")),
    Measure("round trips, 1,000 readings", _network("of_an_event", "round_trips_each", 1_000)),
    Measure("network bytes a question", _network("of_a_question", "bytes_each")),
    Measure("memory of a worker, MB", lambda each: each.worker_mb),
    Measure("memory of the store beside it, MB", lambda each: each.store_mb),
    Measure("bytes on disk beside the log, MB", lambda each: each.disk_mb),
    Measure("back after kill -9, s", lambda each: each.recovery_s),
    Measure("  readings lost", _verdict("readings_lost")),
    Measure("  readings doubled", _verdict("readings_doubled")),
    Measure("    but for the check of origins", lambda each: each.folded_again),
    Measure("  results lost", _results("results_lost")),
    Measure("  results doubled", _results("results_doubled")),
    Measure("one more worker at work, s", lambda each: each.join_s),
    Measure("store down: stood still, s", lambda each: each.down.away_s),
    Measure("store back: until all goes on, s", lambda each: each.down.back_s),
)


def table(figures: Sequence[Figures]) -> list[Mapping[str, Any]]:
    """A row a measure, a column a place."""
    return [
        {"measured": measure.name, **{each.place.value: _shown(measure.of(each)) for each in figures}}
        for measure in MEASURES
    ]


def _shown(value: float | str | None) -> float | str:
    return NOTHING if value is None else round(value, 2) if isinstance(value, float) else value
