"""Table and plot of what many devices cost, for the terminal and for the documentation."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.large.plot import draw
from benchmarks.pages import DOCS, IMAGES, markdown_table, put

PAGE: Final = DOCS / "benchmarks.md"
PLOT: Final = IMAGES / "large-state.svg"
STREAMS: Final = "kafka-streams"
OURS: Final = ("statelog", "statelog, 2 workers")

Size = Mapping[str, Any]


def restored(size: Size, who: str, figure: str) -> list[float]:
    """Of each round."""
    return [found[who][figure] for found in size["restores"] if who in found]


def restore_rates(size: Size, who: str) -> list[float]:
    return [found[who]["records"] / found[who]["seconds"] for found in size["restores"] if who in found]


def restore_ratios(size: Size, who: str) -> list[float]:
    """Times what Kafka Streams did in the same round."""
    return [
        ours / theirs
        for ours, theirs in zip(restore_rates(size, who), restore_rates(size, STREAMS), strict=False)
    ]  # fmt: skip


def slowest(size: Size, after: str, figure: str) -> float:
    return max(float(start[figure]) for start in size["starts"][after])


Row = tuple[str, Callable[[Size], str]]


def _rows(sizes: Sequence[Size]) -> list[Row]:
    least = sizes[0]
    return [
        _figure("rows in the stores: devices and closed windows", "rows"),
        _figure("events/s, every device new", "fill_rate"),
        _figure("events/s, every device known, uniform keys", "ingest_rate"),
        (f"… beside {least['devices']:,} devices", lambda size: f"{_beside(size, least):.2f}"),
        _figure("peak RSS, MB: filling", "fill_rss_mb"),
        _figure("peak RSS, MB: known devices", "ingest_rss_mb"),
        ("peak RSS, MB: restoring", lambda size: f"{max(restored(size, OURS[0], 'peak_rss_mb')):,.0f}"),
        _figure("stores on disk, MB", "disk_bytes", 1e6),
        _figure("changelogs on the broker's disk, MB", "changelog_bytes", 1e6),
        *_restore_rows(OURS[0]),
        *_restore_rows(OURS[1]),
        *_restore_rows(STREAMS)[:-1],
        *_start_rows("stopped", "a clean stop"),
        *_start_rows("killed", "kill -9 at work"),
    ]


def _beside(size: Size, least: Size) -> float:
    return float(size["figures"]["ingest_rate"] / least["figures"]["ingest_rate"])


def _figure(title: str, name: str, scale: float = 1.0) -> Row:
    def show(size: Size) -> str:
        value = size["figures"].get(name)
        return "n/a" if value is None else f"{value / scale:,.0f}"

    return title, show


def _restore_rows(who: str) -> list[Row]:
    return [
        (f"restore, records/s: {who}", lambda size: _spread(restore_rates(size, who), "{:,.0f}")),
        ("… seconds", lambda size: _spread(restored(size, who, "seconds"), "{:.1f}")),
        ("… seconds, since the process began", lambda size: _spread(restored(size, who, "since_start_s"), "{:.1f}")),
        ("… times the rate of Kafka Streams", lambda size: _spread(restore_ratios(size, who), "{:.2f}")),
    ]


def _start_rows(after: str, name: str) -> list[Row]:
    return [
        (f"s to active, warm disk, after {name}", lambda size: f"{slowest(size, after, 'ready_s'):.2f}"),
        ("… to answers of every partition", lambda size: f"{slowest(size, after, 'answer_s'):.2f}"),
    ]


def table(sizes: Sequence[Size]) -> str:
    """A column a size."""
    head = ["", *(f"{size['devices']:,} devices" for size in sizes)]
    lines = [head, ["---"] + ["---:"] * len(sizes)]
    lines += [[name, *(of(size) for size in sizes)] for name, of in _rows(sizes)]
    return markdown_table(lines)


def markdown(figures: Mapping[str, Any]) -> str:
    machine, sizes = figures["machine"], figures["sizes"]
    readings = max(size["figures"]["readings"] for size in sizes)
    text = (
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gb']} GB, the broker on them too, "
        f"{figures['date'][:10]}; up to {readings:,} readings timed a size. Of restores the median of the rounds, with "
        f"least and most; of starts the slowest of {len(sizes[0]['starts']['killed'])}.\n\n{table(sizes)}\n"
    )
    if figures.get("skipped"):
        text += f"\nKafka Streams was skipped: {figures['skipped']}\n"
    return text


def into_docs(figures: Mapping[str, Any], page: Path = PAGE, plot: Path = PLOT) -> None:
    """In place of what stood between the marks. Raises SystemExit for a page without them."""
    put(page, "large state", f"{markdown(figures)}\n![What the number of devices changes](images/{plot.name})")
    draw(figures["sizes"], plot)


def _spread(values: Sequence[float], form: str) -> str:
    if not values:
        return "n/a"
    middle = form.format(statistics.median(values))
    least, most = form.format(min(values)), form.format(max(values))
    return middle if least == most else f"{middle} ({least} to {most})"
