"""Which telemetry was folded already: what comes a second time changes nothing."""

from __future__ import annotations

from operators.api import Table
from operators.keys import origin_key


class Origins:
    """The greatest offset folded of each telemetry partition, seen from one partition of readings.

    A partition of readings gets what comes from one partition of telemetry in the order of its offsets, once; a host
    that repeats itself, or telemetry that is replayed, is told by an offset that does not rise. A re-created topic has
    another topic id and so begins anew.

    The row in use is kept here, open to the fold, for calls and look-ups would cost as much as the statistics. That
    is safe: nothing else writes these rows, and after a roll-back of the tables there is a new operator.
    """

    def __init__(self, table: Table[int]) -> None:
        self._table = table
        self.topic_id = ""
        self.partition = -1
        self.key = b""
        self.folded = -1
        """The greatest offset folded of this topic id and partition, -1 before the first."""

    def turn_to(self, topic_id: str, partition: int) -> None:
        """Make this telemetry partition's row the one in use."""
        self.topic_id = topic_id
        self.partition = partition
        self.key = origin_key(topic_id, partition)
        found = self._table.get(self.key)
        self.folded = -1 if found is None else found
