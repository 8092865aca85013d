"""What the made-up devices measure, and in which units: models of device, each with its gauges."""

from __future__ import annotations

from typing import NamedTuple


class Unit(NamedTuple):
    """How a gauge reports: `reported = true * scale + shift`, with so many digits after the point."""

    name: str
    scale: float = 1.0
    shift: float = 0.0
    digits: int = 2


class Gauge(NamedTuple):
    """One metric: figures in the gauge's first unit, whose scale is 1."""

    metric: str
    base: float
    """What it reads on an average device at an average hour."""
    spread: float
    """Standard deviation of the devices around that."""
    swing: float
    """How far a day carries it up and down."""
    noise: float
    """Standard deviation of single readings."""
    low: float
    high: float
    units: tuple[Unit, ...]


class Model(NamedTuple):
    """A kind of device; its name begins the device ids."""

    name: str
    gauges: tuple[Gauge, ...]


_DEGREES = (Unit("degC"), Unit("degF", scale=1.8, shift=32.0))
_BAR = (Unit("bar", digits=3), Unit("kPa", scale=100.0))
_AIR = (Unit("kPa", digits=3), Unit("Pa", scale=1_000.0, digits=0))
_PERCENT = (Unit("percent", digits=1),)
_VOLTS = (Unit("V"), Unit("mV", scale=1_000.0, digits=0))
_WATTS = (Unit("W", digits=1), Unit("kW", scale=0.001, digits=4))
_VIBRATION = (Unit("mm/s", digits=3), Unit("m/s", scale=0.001, digits=6))
_ROAD = (Unit("km/h", digits=1), Unit("m/s", scale=1 / 3.6))

MODELS = (
    Model(
        "press",
        (
            Gauge("temperature", 64.0, 5.0, 9.0, 0.6, -20.0, 180.0, _DEGREES),
            Gauge("pressure", 160.0, 12.0, 6.0, 2.5, 0.0, 400.0, _BAR),
            Gauge("vibration", 2.4, 0.5, 0.4, 0.25, 0.0, 60.0, _VIBRATION),
        ),
    ),
    Model(
        "pump",
        (
            Gauge("temperature", 41.0, 4.0, 6.0, 0.4, -20.0, 120.0, _DEGREES),
            Gauge("pressure", 6.2, 0.7, 0.5, 0.08, 0.0, 25.0, _BAR),
            Gauge("power", 2_200.0, 250.0, 600.0, 40.0, 0.0, 7_500.0, _WATTS),
        ),
    ),
    Model(
        "climate",
        (
            Gauge("temperature", 20.5, 2.0, 4.5, 0.15, -40.0, 60.0, _DEGREES),
            Gauge("humidity", 48.0, 8.0, 12.0, 0.8, 0.0, 100.0, _PERCENT),
            Gauge("pressure", 101.2, 0.6, 0.3, 0.02, 85.0, 108.0, _AIR),
        ),
    ),
    Model(
        "meter",
        (
            Gauge("voltage", 231.0, 1.5, 2.5, 0.6, 180.0, 260.0, _VOLTS),
            Gauge("power", 850.0, 300.0, 650.0, 60.0, 0.0, 14_000.0, _WATTS),
        ),
    ),
    Model(
        "road",
        (
            Gauge("speed", 82.0, 14.0, 16.0, 6.0, 0.0, 190.0, _ROAD),
            Gauge("occupancy", 14.0, 4.0, 11.0, 2.0, 0.0, 100.0, _PERCENT),
        ),
    ),
)

SITES = ("", "lyon", "graz", "malmö", "turku", "", "porto", "gdańsk")
"""Where devices stand; those with no name send no tags."""
