"""What a device sends, and what it becomes: the schemas of `telemetry` and `readings`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.fields import MAX_VALUE, DeviceId, Metric, Milliseconds, Offset, Partition, Seq, Tags, TopicId, Unit
from schemas.instant import OrRfc3339

BOUNDARY = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, frozen=True)
"""No coercion, no NaN; a sender may be newer than we are, so fields we do not know are passed over."""


class RawReading(BaseModel):
    """One reading as a device sends it: the value of a `telemetry` record, whose key is the device id."""

    model_config = BOUNDARY

    device_id: DeviceId
    metric: Metric
    value: float = Field(description="finite; |value| at most 1e15 once converted to the canonical unit")
    unit: Unit
    event_time: Annotated[Milliseconds, OrRfc3339()]
    seq: Seq | None = None
    tags: Tags | None = None


class Reading(BaseModel):
    """One reading in its canonical unit: the value of a `readings` record, whose key is the device id."""

    model_config = BOUNDARY

    device_id: DeviceId
    metric: Metric
    value: Annotated[float, Field(ge=-MAX_VALUE, le=MAX_VALUE)]
    unit: Unit
    event_time: Milliseconds
    seq: Seq | None = None
    tags: Tags | None = None
    origin: Annotated[tuple[TopicId, Partition, Offset], Field(description="the telemetry record it was made from")]
