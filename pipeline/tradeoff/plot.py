"""The table as bars, a panel a measure."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from pipeline.errors import Misconfigured
from pipeline.tradeoff.figures import MEASURES, Figures

FORMATS: Final = (".svg", ".png", ".pdf")
_COLUMNS: Final = 3
_OURS: Final = "#0b7285"
_OTHERS: Final = "#adb5bd"
_INK: Final = "#343a40"


def require_plotter(path: Path) -> None:
    """Raises Misconfigured when nothing could be drawn there."""
    if find_spec("matplotlib") is None:
        raise Misconfigured(
            "matplotlib is not installed", hint="pip install '.[tradeoff]' in the clone, or leave --plot out"
        )
    if path.suffix not in FORMATS or not path.absolute().parent.is_dir():
        raise Misconfigured(f"no plot can be written to {path}", hint=f"a name that ends in {', '.join(FORMATS)}, "
                            "in a directory that is there")  # fmt: skip


def draw(found: Sequence[Figures], path: Path) -> None:
    """Into a file whose suffix is one of FORMATS. What only one place has is left out, if there are others."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels = [(measure.name.strip(), values) for measure in MEASURES
              if len(values := _values(found, measure.of)) >= min(len(found), 2) and any(values.values())]  # fmt: skip
    lines = -(-len(panels) // _COLUMNS)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "statelog", "font.family": "sans-serif"}):
        figure = Figure(figsize=(12, lines * 1.7 + 0.3), layout="constrained", facecolor="white")
        axes = figure.subplots(lines, _COLUMNS, squeeze=False).flat
        for (name, values), axis in zip(panels, axes, strict=False):  # in this order: none is taken for nothing
            _panel(axis, name, values)
        for unused in list(axes):
            unused.set_visible(False)
        figure.savefig(path, format=path.suffix.lstrip("."))


def _values(found: Sequence[Figures], of: Any) -> dict[str, float]:
    return {each.place.value: value for each in found if isinstance(value := of(each), int | float)}


def _panel(axis: Any, name: str, values: dict[str, float]) -> None:
    places = list(values)
    axis.barh(places, list(values.values()), color=[_OURS if place == "rocksdb" else _OTHERS for place in places])
    axis.invert_yaxis()
    axis.set_title(name, loc="left", fontsize=9, color=_INK)
    axis.margins(x=0.2)
    for row, value in enumerate(values.values()):
        text = f"{value:,.0f}" if value >= 100 or isinstance(value, int) else f"{value:,.2f}"
        axis.annotate(text, (value, row), (4, 0), textcoords="offset points", va="center", size=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
    axis.xaxis.set_major_formatter("{x:,g}")
