"""Let the controller declare the last broker dead before the new one comes up.

A cluster's controllers outlive a broker and fence it before it is back. Here both die at once, and the restarted broker
believes the last metadata, in which it still leads everything. It takes up the transactions that were about to end, is
fenced under way, finds no leader for their markers, and takes those partitions for deleted (Kafka 4.3.1,
TransactionMarkerChannelManager: "likely deleted already and hence can be skipped"). Such a transaction, though
committed, never ends, and nobody who reads committed records gets past it: seen in 3 of about 60 kills. So the
controller is started alone first, with a session so short that it fences the dead broker at once; that also saves the
wait for the session's end.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.broker.directory import DataDirectory
from pipeline.broker.process import SupervisedProcess

# Everything before this line is history, replayed.
_ACTIVE = b"Performing controller activation"
# The controller's own lines on the one broker. The change record says 1 for fenced, -1 for unfenced, 0 for as before.
_FENCED = re.compile(rb" Replayed .*(?:RegisterBroker|BrokerRegistrationChange)Record.*\bfenced=(1|-1|true|false)\b")
_PATIENCE_S = 90.0
"""On a busy machine the controller alone took more than 20 s to come up."""


def fence_dead_broker(controller: Callable[[], SupervisedProcess], directory: DataDirectory) -> None:
    """Run a controller on the directory until it has fenced the broker.

    When its log does not come to say so, the broker starts all the same, only with the risk above. One that was killed
    before it was ever registered there is nothing to fence of.
    """
    before = directory.log.stat().st_size if directory.log.exists() else 0
    process = controller()
    deadline = time.monotonic() + _PATIENCE_S

    def wait_until(done: Callable[[], bool]) -> None:
        while process.alive() and time.monotonic() < deadline and not done():
            time.sleep(0.05)

    try:
        wait_until(lambda: _fenced(directory.log, before))
        # What the log says may still be on its way to the disk. What comes after it (an idle controller writes
        # something twice a second) is written after it.
        written = _metadata_size(directory)
        wait_until(lambda: _metadata_size(directory) > written)
    finally:
        process.terminate()


def _fenced(log: Path, before: int) -> bool:
    if not log.exists():
        return False
    text = written_since(log, before)
    said = _FENCED.findall(text)
    return _ACTIVE in text and (not said or said[-1] in {b"1", b"true"})


def written_since(log: Path, before: int) -> bytes:
    """What a log got beyond that size, of which the beginning may be in the file that it was rolled over to."""
    with log.open("rb") as lines:
        if os.fstat(lines.fileno()).st_size >= before:
            lines.seek(before)
            return lines.read()
        now = lines.read()
    with log.with_name(f"{log.name}.1").open("rb") as lines:
        lines.seek(before)
        return lines.read() + now


def _metadata_size(directory: DataDirectory) -> int:
    return sum(segment.stat().st_size for segment in directory.logs.glob("__cluster_metadata-0/*.log"))
