"""What people and other systems read: device states by HTTP and command, results of windows from `windows`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from schemas.fields import Count, DeviceId, Metric, Milliseconds, Seq, Unit

RESULT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)
"""We write these ourselves: a field too many would be a mistake of ours."""


class LastReading(BaseModel):
    """The reading with the greatest event time; of several with the same, the later record."""

    model_config = RESULT

    value: float
    event_time: Milliseconds
    seq: Seq | None


class MetricStatistics(BaseModel):
    """One metric of one device, over all its readings."""

    model_config = RESULT

    unit: Unit = Field(description="the canonical unit, fixed by the metric's first reading")
    count: Count
    sum: float
    mean: float
    variance: float = Field(ge=0, description="of the population")
    min: float
    max: float
    last: LastReading
    out_of_order: Count = Field(description="readings folded that were older than `last`")
    late: Count = Field(description="readings for a window that had closed; they count in all but their window")
    restarts: Count = Field(description="how often `seq` began anew")
    too_old: Count = Field(description="readings refused as seq-too-old")


class DeviceState(BaseModel):
    """What is known of one device."""

    model_config = RESULT

    device_id: DeviceId
    first_seen: Milliseconds = Field(description="least event time")
    last_seen: Milliseconds = Field(description="greatest event time")
    readings: Count = Field(description="the sum of the metrics' counts")
    duplicates: Count
    metrics: dict[Metric, MetricStatistics]


class WindowResult(BaseModel):
    """One metric of one device, over the event times in [window_start, window_end)."""

    model_config = RESULT

    device_id: DeviceId
    metric: Metric
    unit: Unit
    window_start: Milliseconds
    window_end: Milliseconds
    count: int = Field(ge=1)
    sum: float
    min: float
    max: float
    mean: float
