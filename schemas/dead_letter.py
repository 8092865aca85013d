"""A refused record as `dead-letters` keeps it: raw key and value, and what is known about it as headers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from schemas.fields import Milliseconds, Offset, Partition, TopicId

_PREFIX: Final = "statelog-"

ReasonCode = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$")]
"""For the IoT topology a `Reason`; other topologies have codes of their own."""


class DeadLetter(BaseModel):
    """A refused record. As JSON, its bytes are base64 (URL-safe); in Kafka they are the record's own key and value."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, ser_json_bytes="base64", val_json_bytes="base64"
    )

    key: bytes | None
    value: bytes | None
    reason: ReasonCode
    detail: str = Field(description="what a person needs to mend the sender")
    origin_topic: str = Field(min_length=1, description="by its full name, prefix included")
    origin_topic_id: TopicId
    origin_partition: Partition
    origin_offset: Offset
    time: Milliseconds = Field(description="when it was refused, by the worker's clock, in ms since the epoch")
    stage: str = Field(min_length=1, description="the stage that refused it")

    def headers(self) -> list[tuple[str, bytes]]:
        """The headers of the Kafka record; numbers are decimal digits."""
        fields = self.model_dump(exclude={"key", "value"})
        return [(_PREFIX + name.replace("_", "-"), str(field).encode()) for name, field in fields.items()]

    @classmethod
    def from_kafka(
        cls, key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]
    ) -> DeadLetter:
        """What `headers` wrote; others' headers are passed over. ValueError for a record that is no dead letter."""
        fields = {
            name.removeprefix(_PREFIX).replace("-", "_"): (field or b"").decode()
            for name, field in headers
            if name.startswith(_PREFIX)
        }
        try:
            numbers = {name: int(fields[name]) for name in ("origin_partition", "origin_offset", "time")}
        except KeyError as error:
            raise ValueError(f"no header {_PREFIX}{error.args[0]}, so no dead letter") from None
        return cls.model_validate({**fields, **numbers, "key": key, "value": value})
