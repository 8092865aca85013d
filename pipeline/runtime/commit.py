"""The commit protocol."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.log.api import Membership, Sink
from pipeline.runtime.crash import CrashHook, CrashPoint
from pipeline.runtime.task import Task


def commit(tasks: Sequence[Task], sink: Sink, membership: Membership, reach: CrashHook) -> None:
    """Move tasks from their last commit to the next, exactly once, in the sink's open transaction.

    Before ④ returns, a crash loses only work that will be done again. After it, each store is one commit behind its
    changelog, and the restore closes the gap. Raises TransactionAborted, Fenced or OutcomeUnknown, before ⑤ only;
    StateUnusable from ⑤.
    """
    for task in tasks:
        task.record(sink)  # ① outputs went out while folding; now what the tables became
    sink.flush()  # ② so that each changelog's next offset is known
    reach(CrashPoint.CHANGELOG_SENT)
    sink.send_offsets({task.source: task.committed() for task in tasks}, membership)  # ③ with the group's generation
    reach(CrashPoint.OFFSETS_SENT)
    sink.commit()  # ④
    reach(CrashPoint.COMMITTED)
    for task in tasks:
        task.settle()  # ⑤ the store follows the log
        reach(CrashPoint.STORE_APPLIED)
    reach(CrashPoint.APPLIED)
