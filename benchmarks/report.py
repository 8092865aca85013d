"""Tables and a plot from the figures of a suite.

    python -m benchmarks.report [FILE] [--plot FILE.svg | --docs]

FILE is one of `benchmarks/results`; none: the newest. The tables go to standard output, as Markdown, the plot beside
FILE, unless named; with `--docs` both go into the documentation, and a summary of them into the README.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import OURS, Place, Run, Spread, grouped, per_event, per_million, rate, rate_of_a_core
from benchmarks.figures import ratio as ratio_of
from benchmarks.figures import spread as spread_of
from benchmarks.pages import DOCS, IMAGES, README, markdown_table, newest, put
from benchmarks.plot import draw
from benchmarks.workloads import WORKLOADS

RESULTS: Final = Path(__file__).parent / "results"
PAGE: Final = DOCS / "benchmarks.md"
PLOT: Final = IMAGES / "peers.svg"


def markdown(report: Mapping[str, Any]) -> str:
    """All tables, each under a line that says what it shows."""
    parts = [_head(report)]
    for where, peers in grouped(report["runs"]).items():
        parts += [f"**{where}: {WORKLOADS[where.work].title}**", _of_a_place(peers, report)]
    if report["latencies"]:
        parts += ["**End to end, under a steady load**", _latencies(report["latencies"])]
    parts += [f"Skipped: {name}: {reason}" for name, reason in report["skipped"].items()]
    parts += [f"Failed: {failure}" for failure in report["failures"]]
    return "\n\n".join(parts) + "\n"


def _head(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    few = [name for name, peer in report["peers"].items() if peer["share"] < 1]
    less = f" Fewer for {', '.join(few)}, as the tables say." if few else ""
    return (
        f"{report['records']:,} records, interleaved rounds: {report['rounds']}, {machine['cores']} cores of "
        f"{machine['processor']}, the broker on them too, {report['date'][:10]}; Python {machine['python']}, "
        f"{machine['java']}.{less} Medians; least to most in brackets. Ratios are {OURS} to the peer, each of one "
        f"round."
    )


def _of_a_place(peers: Mapping[str, Sequence[Run]], report: Mapping[str, Any]) -> str:
    ours = peers.get(OURS, [])
    rows = []
    for name, runs in peers.items():
        guarantee = report["peers"][runs[0]["peer"]]["guarantee"]
        compared = name != OURS and bool(ours)
        rows.append(
            [
                f"**{name}**" if name == OURS else name,
                guarantee,
                f"{runs[0]['records']:,}",
                _spread(spread_of(runs, rate), "{:,.0f}"),
                _spread(ratio_of(ours, runs, rate), "{:.2f}") if compared else "",
                _spread(spread_of(runs, partial(per_million, figure="cpu_s")), "{:.1f}", alone=True),
                _spread(ratio_of(ours, runs, rate_of_a_core), "{:.2f}", alone=True) if compared else "",
                _spread(spread_of(runs, partial(per_million, figure="broker_cpu_s")), "{:.1f}", alone=True),
                _spread(spread_of(runs, lambda run: run["peak_rss_mb"]), "{:,.0f}", alone=True),
                _spread(spread_of(runs, partial(per_event, figure="changelog_bytes")), "{:.0f}", alone=True),
                _spread(spread_of(runs, partial(per_event, figure="output_bytes")), "{:.0f}", alone=True),
            ]
        )
    head = ["", "guarantee", "records", "events/s", "ratio", "CPU s/M", "per CPU", "broker CPU s/M", "RSS MB"]
    return _table([*head, "changelog B", "output B"], rows)


def summary(report: Mapping[str, Any]) -> str:
    """A line for each kind of work: what statelog does, and how many times that of its peers."""
    latencies = {each["work"]: each["p99_ms"] for each in report["latencies"] if each["peer"] == OURS}
    shown: set[str] = set()
    rows = []
    for where, peers in grouped(report["runs"]).items():
        ours = peers.get(OURS, [])
        p99 = None if where.work in shown else latencies.get(where.work)
        shown.add(where.work)  # it was measured on the first kind of stream alone
        cells = [_spread(spread_of(ours, rate), "{:,.0f}")]
        cells += [
            _spread(ratio_of(ours, peers[peer], figure), form) if peer in peers else ""
            for _, peer, figure, form in _COMPARED
        ]
        rows.append([_words(where), *cells, "" if p99 is None else f"{p99:,.0f}"])
    head = ["exactly once, checked against the oracle", "statelog, events/s", *(title for title, *_ in _COMPARED)]
    return f"{_head(report)}\n\n{_table([*head, 'p99 ms at half load'], rows)}\n"


_COMPARED: Final = (
    ("times Kafka Streams", "kafka-streams, warm", rate, "{:.1f}"),
    ("… a CPU second", "kafka-streams, warm", rate_of_a_core, "{:.1f}"),
    ("times Quix Streams", "quix-streams", rate, "{:.0f}"),
    ("times Faust (at least once)", "faust", rate, "{:.0f}"),
    ("of consuming only", "ceiling", rate, "{:.0%}"),
)


def _words(where: Place) -> str:
    return f"{WORKLOADS[where.work].title}: {where.devices:,} devices, {where.keys}"


def _latencies(latencies: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            f"({each['work']})",
            each["peer"],
            f"{each['rate']:,.0f}",
            f"{each['p50_ms']:,.0f}",
            f"{each['p99_ms']:,.0f}",
            f"{each['max_ms']:,.0f}",
        ]
        for each in latencies
    ]
    return _table(["work", "peer", "events/s", "p50 ms", "p99 ms", "most ms"], rows)


def _spread(found: Spread | None, form: str, *, alone: bool = False) -> str:
    if found is None:
        return "n/a"
    middle = form.format(found.median)
    if alone or found.least == found.most:
        return middle
    return f"{middle} ({form.format(found.least)} to {form.format(found.most)})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return markdown_table(lines)


def into_docs(report: Mapping[str, Any], page: Path = PAGE, readme: Path = README, plot: Path = PLOT) -> None:
    """In place of what stood between the marks. Raises SystemExit for a page without them."""
    image = "![Events a second of every peer]"
    put(page, "peers", f"{markdown(report)}\n{image}(images/{plot.name})")
    put(readme, "peers", f"{summary(report)}\n{image}(docs/images/{plot.name})")
    draw(report["runs"], plot)


def main(command: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--docs", action="store_true", help="write tables and plot into the documentation")
    arguments = parser.parse_args(command)
    path = arguments.file or newest(RESULTS, "[0-9]*.json", "make bench")
    report = json.loads(path.read_text())
    if arguments.docs:
        into_docs(report)
        return
    plot = arguments.plot or path.with_suffix(".svg")
    draw(report["runs"], plot)
    sys.stdout.write(markdown(report))
    print(f"plot: {plot}", file=sys.stderr)


if __name__ == "__main__":
    main()
