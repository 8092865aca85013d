"""The curves: each cost over the number of devices."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

Size = Mapping[str, Any]
Line = tuple[str, Callable[[Size], float | None]]

_COLOURS: Final = ("#0b7285", "#66d9e8", "#adb5bd")
_INK: Final = "#343a40"
_COLUMNS: Final = 3
_GROWING: Final = ("disk, MB", "restore, s")
"""What is in proportion to the number of devices."""
_FEW: Final = 100


def draw(sizes: Sequence[Size], path: Path) -> None:
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "statelog", "font.family": "sans-serif"}):
        figure = Figure(figsize=(12, 6.4), layout="constrained", facecolor="white")
        axes = figure.subplots(2, _COLUMNS).flat
        for axis, (title, lines) in zip(axes, _panels(), strict=True):
            _panel(axis, title, lines, sizes)
        figure.savefig(path, format=path.suffix.lstrip("."), metadata={"Date": None} if path.suffix == ".svg" else None)


def _panels() -> list[tuple[str, list[Line]]]:
    return [
        ("events/s", [("known devices", _figure("ingest_rate")), ("new devices", _figure("fill_rate"))]),
        (
            "peak RSS, MB",
            [("known devices", _figure("ingest_rss_mb")), ("restoring", _restored("statelog", "peak_rss_mb"))],
        ),
        ("disk, MB", [("stores", _figure("disk_bytes", 1e6)), ("changelogs", _figure("changelog_bytes", 1e6))]),
        ("restore, records/s", [(who, _restored(who, "rate")) for who in _WHO]),
        ("restore, s", [(who, _restored(who, "seconds")) for who in _WHO]),
        ("start, s to active", [("after kill -9", _start("killed")), ("after a clean stop", _start("stopped"))]),
    ]


_WHO: Final = ("statelog", "statelog, 2 workers", "kafka-streams")


def _figure(name: str, scale: float = 1.0) -> Callable[[Size], float | None]:
    return lambda size: None if size["figures"].get(name) is None else size["figures"][name] / scale


def _restored(who: str, what: str) -> Callable[[Size], float | None]:
    """The median of the rounds."""

    def value(size: Size) -> float | None:
        rounds = [_of_restore(found[who], what) for found in size["restores"] if who in found]
        return statistics.median(rounds) if rounds else None

    return value


def _of_restore(found: Mapping[str, float], what: str) -> float:
    return found["records"] / found["seconds"] if what == "rate" else found[what]


def _start(after: str) -> Callable[[Size], float]:
    return lambda size: max(float(each["ready_s"]) for each in size["starts"][after])


def _panel(axis: Any, title: str, lines: Sequence[Line], sizes: Sequence[Size]) -> None:
    for (name, of), colour in zip(lines, _COLOURS, strict=False):
        points = [(size["devices"], value) for size in sizes if (value := of(size)) is not None]
        if points:
            axis.plot(*zip(*points, strict=True), marker="o", markersize=4, color=colour, label=name)
    axis.set_xscale("log")
    if title in _GROWING:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_minor_formatter(NullFormatter())
    else:
        axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter("{x:,.0f}" if axis.get_ylim()[1] > _FEW else "{x:g}")
    axis.set_title(title, loc="left", fontsize=10, color=_INK)
    axis.set_xlabel("devices", fontsize=8, color=_INK)
    axis.legend(fontsize=8, frameon=False)
    axis.tick_params(labelsize=8)
    axis.grid(visible=True, which="major", alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
