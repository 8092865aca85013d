"""The topology that ships: telemetry of devices to readings, readings to devices' statistics and windows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from operators.api import Table, TaskContext
from operators.device import DEVICE_STATE, DEVICE_WINDOWS, ORIGINS, DeviceAggregate
from operators.device_redrive import TELEMETRY, DeviceRedrive
from operators.keys import WINDOW_PARAMETERS, DeviceKey, OriginKey, WindowKey, select_windows
from operators.normalise import Normalise
from operators.show import device_state, open_windows, origin, window_result
from operators.topology import AggregateStage, TableSpec, Topology, TransformStage
from operators.windows import WINDOWS
from schemas.state import DeviceRow, StateCodec, WindowRow

FOLD_VERSION = 1
"""Rises with every change of what the fold makes of the same readings."""


def topology(window_ms: int = 60_000, grace_ms: int = 30_000, window_retention_ms: int = 86_400_000) -> Topology:
    """The IoT pipeline. Its version names the parameters, so a store made with others is rebuilt."""

    def device_aggregate(tables: Mapping[str, Table[Any]], context: TaskContext) -> DeviceAggregate:
        return DeviceAggregate(
            tables, context, window_ms=window_ms, grace_ms=grace_ms, retention_ms=window_retention_ms
        )

    return Topology(
        name="iot",
        version=f"{FOLD_VERSION},window={window_ms},grace={grace_ms},retention={window_retention_ms}",
        stages=(
            TransformStage(name="transform", source=TELEMETRY, outputs=("readings",), operator=Normalise),
            AggregateStage(
                name="aggregate",
                source="readings",
                outputs=(WINDOWS,),
                tables=(
                    TableSpec(
                        name=DEVICE_STATE,
                        key=DeviceKey(),
                        value=StateCodec(DeviceRow),
                        show=device_state,
                        views={"open-windows": partial(open_windows, window_ms=window_ms)},
                    ),
                    TableSpec(
                        name=DEVICE_WINDOWS,
                        key=WindowKey(),
                        value=StateCodec(WindowRow),
                        show=partial(window_result, window_ms=window_ms),
                        select=select_windows,
                        select_parameters=WINDOW_PARAMETERS,
                        cached=False,
                    ),
                    TableSpec(name=ORIGINS, key=OriginKey(), value=StateCodec(int), show=origin, local=True),
                ),
                operator=device_aggregate,
                redrive=DeviceRedrive(window_ms=window_ms, grace_ms=grace_ms),
            ),
        ),
    )
