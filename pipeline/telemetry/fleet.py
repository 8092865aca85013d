"""The devices of a seed, as columns: one row a channel, which is one gauge of one device."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.telemetry.models import MODELS, SITES, Gauge, Unit

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Objects = npt.NDArray[np.object_]

_KINDS = [(gauge, unit) for model in MODELS for gauge in model.gauges for unit in gauge.units]


@dataclass(frozen=True)
class Fleet:
    """Who sends what. Rows are in a shuffled order, so that a device's gauges do not report side by side."""

    ids: Objects
    """By device: its id, as the bytes of a key."""
    device: Integers
    """By channel: the row of its device in `ids`."""
    template: Objects
    """By channel: bytes that take id, value, event time, seq and tags."""
    tags: Objects
    base: Floats
    swing: Floats
    noise: Floats
    low: Floats
    high: Floats
    day_phase: Floats
    """When in the day it reads most, as a fraction of the day."""
    phase: Floats
    """When in its reporting interval it reports, as a fraction of the interval."""

    @property
    def channels(self) -> int:
        return len(self.device)


def fleet_of(devices: int, rng: np.random.Generator) -> Fleet:
    """So many devices, drawn from the models."""
    model_of_device = rng.integers(len(MODELS), size=devices)
    width = max(5, len(str(devices - 1)))
    names = [model.name.encode() for model in MODELS]
    ids = np.empty(devices, dtype=object)
    ids[:] = [b"%b-%0*d" % (names[model], width, number) for number, model in enumerate(model_of_device.tolist())]

    gauges_of_model = np.array([len(model.gauges) for model in MODELS])
    device = np.repeat(np.arange(devices), gauges_of_model[model_of_device])
    first_row = np.concatenate(([0], np.cumsum(gauges_of_model[model_of_device])[:-1]))
    gauge_number = np.arange(len(device)) - np.repeat(first_row, gauges_of_model[model_of_device])
    kind = _kinds_of(model_of_device[device], gauge_number, rng)

    shuffled = rng.permutation(len(device))
    device, kind = device[shuffled], kind[shuffled]
    channels = len(device)
    figures = np.array([_figures(gauge, unit) for gauge, unit in _KINDS])[kind]
    site_of_device = rng.integers(len(SITES), size=devices)
    return Fleet(
        ids=ids,
        device=device,
        template=_column([_template(gauge, unit) for gauge, unit in _KINDS])[kind],
        tags=_column([_tags(site) for site in SITES])[site_of_device[device]],
        base=(figures[:, 0] + figures[:, 1] * rng.standard_normal(channels)).astype(np.float32),
        swing=figures[:, 2].astype(np.float32),
        noise=figures[:, 3].astype(np.float32),
        low=figures[:, 4].astype(np.float32),
        high=figures[:, 5].astype(np.float32),
        day_phase=rng.normal(0.6, 0.05, channels).astype(np.float32),
        phase=(rng.random(channels) * 0.7).astype(np.float32),
    )


def _kinds_of(model: Integers, gauge_number: Integers, rng: np.random.Generator) -> Integers:
    """The gauge and unit of each channel, as rows of `_KINDS`: a device keeps the unit it was born with."""
    most = max(len(model.gauges) for model in MODELS)
    first = np.zeros((len(MODELS), most), dtype=np.int64)
    units = np.ones((len(MODELS), most), dtype=np.int64)
    number = 0
    for row, made in enumerate(MODELS):
        for column, gauge in enumerate(made.gauges):
            first[row, column] = number
            units[row, column] = len(gauge.units)
            number += len(gauge.units)
    return first[model, gauge_number] + rng.integers(units[model, gauge_number])


def _figures(gauge: Gauge, unit: Unit) -> tuple[float, ...]:
    """A gauge's figures in the unit that it reports: places move with the shift, distances do not."""
    places = [figure * unit.scale + unit.shift for figure in (gauge.base, gauge.low, gauge.high)]
    distances = [figure * unit.scale for figure in (gauge.spread, gauge.swing, gauge.noise)]
    return (places[0], *distances, places[1], places[2])


def _template(gauge: Gauge, unit: Unit) -> bytes:
    form = (
        f'{{"device_id":"%b","metric":"{gauge.metric}","value":%.{unit.digits}f,"unit":"{unit.name}",'
        '"event_time":%d,"seq":%d%b}'
    )
    return form.encode()


def _tags(site: str) -> bytes:
    return b',"tags":' + json.dumps({"site": site}, ensure_ascii=False, separators=(",", ":")).encode() if site else b""


def _column(values: list[Any]) -> Objects:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
