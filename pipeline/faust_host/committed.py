"""What a group has committed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.errors import Retryable
from pipeline.log.api import Committed, Log, TopicPartition

_ATTEMPTS: Final = 15
"""Of a second each: a young cluster has yet to make the topic of the committed offsets."""


def committed_offsets(
    log: Log, group: str, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, Committed | None]:
    """Raises Retryable while no coordinator answers.

    A consumer asks, not an admin client: librdkafka 2.16's crashes when the group's coordinator is still loading.
    """
    reader = log.reader(group)
    try:
        for _ in range(_ATTEMPTS - 1):
            try:
                return reader.committed(partitions)
            except Retryable:
                continue
        return reader.committed(partitions)
    finally:
        reader.close()
