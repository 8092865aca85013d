"""All places, one after the other, on one Kafka, with the same readings."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pipeline.drill.drill import LIVELY
from pipeline.errors import StatesDiffer
from pipeline.rehearsal.ground import Cluster, cluster_for, ground_on
from pipeline.rehearsal.telling import Telling
from pipeline.settings import Settings
from pipeline.tradeoff import recomputed
from pipeline.tradeoff.figures import Figures, table
from pipeline.tradeoff.order import Order
from pipeline.tradeoff.places import SHOWS, Place
from pipeline.tradeoff.plot import draw, require_plotter
from pipeline.tradeoff.redis_server import how_to_get_one, redis_for
from pipeline.tradeoff.scenario import Scenario
from pipeline.tradeoff.stream import Stream


def run(
    given: Settings,
    places: Sequence[Place],
    order: Order,
    telling: Telling,
    *,
    redis_url: str | None = None,
    plot: Path | None = None,
) -> str:
    """Measure them; the verdict. Whatever was started or made is gone when this returns or raises.

    Raises Misconfigured before anything is started when a plot cannot be drawn, StatesDiffer when a place that has to
    be exact is not, and PipelineError for what else can go wrong.
    """
    if plot is not None:
        require_plotter(plot)
    found: list[Figures] = []
    with cluster_for(given, telling, "tradeoff") as cluster:
        stream = Stream(order.devices, order.seed)
        stream.readings(0, order.readings)
        telling.detail(
            f"{order.readings:,} readings made, of {len(stream.devices):,} devices; every place gets the same"
        )
        for place in places:
            telling.step(f"{place.value}: {SHOWS[place]}", place=place.value)
            missing = how_to_get_one(redis_url) if place is Place.REDIS else None
            if missing is not None:
                telling.detail(f"not measured, {missing}", place=place.value, missing=missing)
                continue
            found.append(_measure(place, cluster, stream, order, telling, redis_url))
    if not found:
        return "nothing was measured"
    telling.step("Side by side")
    telling.table("tradeoff", table(found))
    for figures in found:
        telling.detail(f"{figures.place.value}, store down: {figures.down.words}", figures=figures.as_json())
    if plot is not None:
        draw(found, plot)
        telling.detail(f"drawn: {plot}", plot=str(plot))
    return conclude(found)


def _measure(
    place: Place, cluster: Cluster, stream: Stream, order: Order, telling: Telling, redis_url: str | None
) -> Figures:
    with ground_on(cluster, telling, prefix=f"{place.value}-", time_outs=LIVELY) as ground, ExitStack() as stack:
        if place is Place.RECOMPUTED:
            return recomputed.measure(ground, stream, order, telling)
        if cluster.broker is None:
            stack.callback(ground.forget_groups)
        redis = stack.enter_context(redis_for(redis_url, ground)) if place is Place.REDIS else None
        return Scenario(place, cluster, ground, stream, order, telling, redis).run()


def conclude(found: Sequence[Figures]) -> str:
    """The verdict in one line. What Redis loses is a figure; raises StatesDiffer when another place is not exact."""
    wrong = [each for each in found if not each.verdict.exact]
    bound = [each.place.value for each in wrong if each.place is not Place.REDIS]
    if bound:
        raise StatesDiffer(
            f"not what the account says: {', '.join(bound)}",
            hint="the table has what was lost and doubled",
            wrong_sums=sum(each.verdict.wrong_sums for each in wrong),
        )
    exact = ", ".join(each.place.value for each in found if each.verdict.exact)
    told = f"exact, by the account of all that was sent: {exact or 'none'}"
    for each in wrong:
        verdict = each.verdict
        told += (
            f"; {each.place.value} lost {verdict.readings_lost:,} readings and {verdict.results_lost:,} results, "
            f"and doubled {verdict.readings_doubled:,} and {verdict.results_doubled:,}"
        )
    return told
