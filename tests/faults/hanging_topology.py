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
HUNG = ".hung"
"""The end of the name of another, which is there while one hangs."""


class Hanging(Count):
    def __init__(self, tables: Mapping[str, Table[Any]], context: TaskContext) -> None:
        super().__init__(tables, context)
        self._file = Path(os.environ[HANGS_WHILE])

    def fold(self, record: Record) -> list[Output] | Refusal | None:
        if self._file.exists():
            hung = self._file.with_suffix(HUNG)
            hung.touch()
            while self._file.exists():
                time.sleep(0.02)
            hung.unlink()
        return super().fold(record)


TOPOLOGY = Topology("hanging", "1", (AggregateStage("count", "numbers", ("out",), (COUNTS, LAST), Hanging),))
