"""A topology whose operator hangs for as long as a file is there."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from operators.api import Output, Record, Refusal, Table, TaskContext
from operators.topology import AggregateStage, Topology
from tests.integration.verify_topology import COUNTS, LAST, Count

HANGS_WHILE = "TEST_HANGS_WHILE"
"""Names the file, in the environment."""


class Hanging(Count):
    def __init__(self, tables: Mapping[str, Table[Any]], context: TaskContext) -> None:
        super().__init__(tables, context)
        self._file = Path(os.environ[HANGS_WHILE])

    def fold(self, record: Record) -> list[Output] | Refusal | None:
        while self._file.exists():
            time.sleep(0.02)
        return super().fold(record)


TOPOLOGY = Topology("hanging", "1", (AggregateStage("count", "numbers", ("out",), (COUNTS, LAST), Hanging),))
