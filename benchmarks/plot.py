"""Events a second of every peer, a panel a place, as bars with their spread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.figures import OURS, Run, grouped, rate, spread

_CEILING: Final = "ceiling"
_OURS_COLOUR: Final = "#0b7285"
_PEER_COLOUR: Final = "#adb5bd"
_INK: Final = "#343a40"
_COLUMNS: Final = 2
_ROW_INCHES: Final = 0.32


def draw(runs: Sequence[Run], path: Path) -> None:
    """The ceiling is left out: beside it the others would be slivers; the tables have it."""
    places = {
        where: {name: found for name, found in peers.items() if name != _CEILING}
        for where, peers in grouped(runs).items()
    }
    lines = -(-len(places) // _COLUMNS)
    bars = max(len(peers) for peers in places.values())
    # Text stays text, and ids do not change from one drawing to the next.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": OURS, "font.family": "sans-serif"}):
        figure = Figure(figsize=(11, lines * (bars * _ROW_INCHES + 0.9)), layout="constrained", facecolor="white")
        panels = figure.subplots(lines, _COLUMNS, squeeze=False).flat
        for (where, peers), panel in zip(places.items(), panels, strict=False):
            _panel(panel, str(where), peers)
        for unused in list(panels):
            unused.set_visible(False)
        figure.savefig(path, format=path.suffix.lstrip("."), metadata={"Date": None} if path.suffix == ".svg" else None)


def _panel(panel: Any, title: str, peers: dict[str, list[Run]]) -> None:
    names = list(peers)
    spreads = [spread(runs, rate) for runs in peers.values()]
    medians = [each.median for each in spreads if each is not None]
    below = [each.median - each.least for each in spreads if each is not None]
    above = [each.most - each.median for each in spreads if each is not None]
    colours = [_OURS_COLOUR if name.startswith(OURS) else _PEER_COLOUR for name in names]
    panel.barh(names, medians, color=colours, xerr=[below, above], ecolor=_INK, capsize=2)
    panel.invert_yaxis()
    panel.set_title(f"{title}: events/s", loc="left", fontsize=10, color=_INK)
    panel.margins(x=0.18)
    for row, (median, more) in enumerate(zip(medians, above, strict=True)):
        panel.annotate(f"{median:,.0f}", (median + more, row), (4, 0), textcoords="offset points", va="center", size=8)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:,.0f}k")
