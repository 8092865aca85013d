"""Tables and a plot from the figures of `benchmarks.scale`, and what they say on paper of a cluster.

    python -m benchmarks.scale_report [FILE] [--plot FILE.svg | --docs]

FILE is one of `benchmarks/results/scale`; none: the newest. Markdown goes to standard output, the plot beside FILE,
unless named; with `--docs` both go into the documentation.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.capacity import Cluster, Cost, capacity, cost_of
from benchmarks.figures import OURS, Spread, per_million, rate
from benchmarks.pages import DOCS, IMAGES, markdown_table, newest, put
from benchmarks.scale import RESULTS

Run = Mapping[str, Any]

GAIN: Final = 1.1
"""What the next step has to give, as a factor, or this one counts as the last that did."""
CLUSTERS: Final = tuple((brokers, workers) for brokers in (1, 3, 6) for workers in (4, 16, 64))
PAGE: Final = DOCS / "benchmarks.md"
PLOT: Final = IMAGES / "scale.svg"


def markdown(report: Mapping[str, Any]) -> str:
    machine, runs = report["machine"], report["runs"]
    cores = int(machine["cores"])
    head = (
        f"{report['records']:,} readings of {report['devices']:,} devices, uniform keys, rounds: {report['rounds']}, "
        f"{cores} cores of {machine['processor']}, one broker on them too, {report['date'][:10]}. "
        "Medians; least to most in brackets."
    )
    parts = [head]
    for fixed, varied in (("partitions", "workers"), ("workers", "partitions")):
        for value, line in _lines(runs, fixed, varied).items():
            title = f"**{varied.capitalize()}, at {value} {fixed if value > 1 else fixed[:-1]}**"
            parts += [title, _table(varied, line, cores), _where_it_ends(line, varied, cores)]
    counted = {count: [each for each in report["ceilings"] if each["consumers"] == count] for count in
               sorted({each["consumers"] for each in report["ceilings"]})}  # fmt: skip
    if counted:
        parts += ["**Consumers that only count, at 8 partitions**", _table("consumers", counted, cores)]
        parts.append(_where_it_ends(counted, "consumers", cores))
    parts += [f"Failed: {each}" for each in report["failures"]]
    try:
        cost = cost_of(report)
    except ValueError as reason:
        return "\n\n".join([*parts, f"No cluster on paper: {reason}."]) + "\n"
    return "\n\n".join([*parts, "**On paper**", _cost(cost), _clusters(cost)]) + "\n"


def _lines(runs: Sequence[Run], fixed: str, varied: str) -> dict[int, dict[int, list[Run]]]:
    """By the value that stands still, and then by the one that changes; only where it does change."""
    found: dict[int, dict[int, list[Run]]] = {}
    for run in sorted(runs, key=lambda run: (run[fixed], run[varied])):
        found.setdefault(run[fixed], {}).setdefault(run[varied], []).append(run)
    return {value: line for value, line in found.items() if len(line) > 1}


def _table(varied: str, line: Mapping[int, Sequence[Run]], cores: int) -> str:
    rows = [[varied, "events/s", "to the first", "CPU s/M", "broker CPU s/M", "of all cores"], ["---"] * 6]
    first = Spread.of([rate(run) for run in next(iter(line.values()))]).median
    for value, runs in line.items():
        spread = Spread.of([rate(run) for run in runs])
        brokers = [found for run in runs if (found := per_million(run, "broker_cpu_s")) is not None]
        rows.append(
            [
                str(value),
                f"{spread.median:,.0f} ({spread.least:,.0f} to {spread.most:,.0f})",
                f"{spread.median / first:.2f}",
                f"{median(run['cpu_s'] / run['records'] * 1e6 for run in runs):.2f}",
                f"{median(brokers):.2f}" if brokers else "n/a",
                f"{_busy(runs, cores):.0%}",
            ]
        )
    return markdown_table(rows)


def _busy(runs: Sequence[Run], cores: int) -> float:
    """Of all cores, what workers and broker together used; the rest waited, or was somebody else's."""
    return float(median((run["cpu_s"] + (run["broker_cpu_s"] or 0.0)) / run["seconds"] / cores for run in runs))


def last_that_gave(line: Mapping[int, Sequence[Run]]) -> int:
    """The value after which no step gave a tenth more than the best before it."""
    values = list(line)
    last, best = values[0], median(rate(run) for run in line[values[0]])
    for value in values[1:]:
        found = median(rate(run) for run in line[value])
        if found > best * GAIN:
            last, best = value, found
    return last


def _where_it_ends(line: Mapping[int, Sequence[Run]], varied: str, cores: int) -> str:
    last = last_that_gave(line)
    if last == max(line):
        return f"Each step gives more, up to {last} {varied}."
    busy = _busy(line[last], cores)
    why = "all cores are busy" if busy > 0.9 else f"workers and broker use {busy:.0%} of the cores"
    return f"More than {last} {varied if last > 1 else varied[:-1]} give less than a tenth more: there {why}."


def _cost(cost: Cost) -> str:
    return (
        f"Measured of one worker: {cost.worker_cpu_s:.2f} CPU s a million events of the worker, {cost.read_cpu_s:.2f} "
        f"of the broker for reading and {cost.written_cpu_s:.2f} for what is written, {cost.written_bytes:.0f} bytes "
        "of changelogs and outputs an event."
    )


def _clusters(cost: Cost) -> str:
    rows = [
        ["brokers", "workers", "events/s", "bound by", "workers carry", "brokers' CPU", "brokers' network"],
        ["---"] * 7,
    ]
    for brokers, workers in CLUSTERS:
        found = capacity(cost, Cluster(brokers, workers))
        limits = [f"{each:,.0f}" for each in (found.workers, found.broker_cpu, found.broker_network)]
        rows.append([str(brokers), str(workers), f"{found.events_s:,.0f}", found.bound_by, *limits])
    return markdown_table(rows)


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Events a second over workers, over partitions, and over consumers that only count."""
    panels = [
        (f"{varied}, at {value} {fixed}", varied, line)
        for fixed, varied in (("partitions", "workers"), ("workers", "partitions"))
        for value, line in _lines(report["runs"], fixed, varied).items()
    ]
    counted: dict[int, list[Run]] = {}
    for each in report["ceilings"]:
        counted.setdefault(each["consumers"], []).append(each)
    if len(counted) > 1:
        panels.append(("consumers that only count", "consumers", counted))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": OURS, "font.family": "sans-serif"}):
        figure = Figure(figsize=(3.8 * max(len(panels), 1), 3.0), layout="constrained", facecolor="white")
        places = figure.subplots(1, max(len(panels), 1), squeeze=False).flat
        for panel, (title, varied, line) in zip(places, panels, strict=False):
            spreads = [Spread.of([rate(run) for run in runs]) for runs in line.values()]
            beside = [[each.median - each.least for each in spreads], [each.most - each.median for each in spreads]]
            names = [str(value) for value in line]
            panel.errorbar(names, [each.median for each in spreads], beside, marker="o", color="#0b7285", capsize=3)
            panel.set_title(f"events/s by {title}", loc="left", fontsize=9)
            panel.set_xlabel(varied, fontsize=8)
            panel.set_ylim(bottom=0)
            panel.spines[["top", "right"]].set_visible(False)
            panel.tick_params(labelsize=8)
            panel.yaxis.set_major_formatter(lambda value, _: f"{value / 1000:,.0f}k")
        figure.savefig(path, format=path.suffix.lstrip("."), metadata={"Date": None} if path.suffix == ".svg" else None)


def into_docs(report: Mapping[str, Any], page: Path = PAGE, plot: Path = PLOT) -> None:
    """In place of what stood between the marks. Raises SystemExit for a page without them."""
    put(page, "scale", f"{markdown(report)}\n![Events a second by workers and by partitions](images/{plot.name})")
    draw(report, plot)


def main(command: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--docs", action="store_true", help="write tables and plot into the documentation")
    arguments = parser.parse_args(command)
    path = arguments.file or newest(RESULTS, "*.json", "python -m benchmarks.scale")
    report = json.loads(path.read_text())
    if arguments.docs:
        into_docs(report)
        return
    plot = arguments.plot or path.with_suffix(".svg")
    draw(report, plot)
    print(f"plot: {plot}", file=sys.stderr)
    sys.stdout.write(markdown(report))


if __name__ == "__main__":
    main()
