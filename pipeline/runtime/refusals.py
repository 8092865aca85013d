"""How much bad input a partition may bring before its worker stops."""

from __future__ import annotations

from pipeline.errors import RefusalLimit

TENTHS = 10


class RefusalCount:
    """Counts one partition's refusals against the two limits: so many in a row, or half of the latest messages.

    The latest messages are counted in tenths of the window. The count is part of the committed position, so that a
    restarted worker trips at the same offset and each restart does not let another thousand through.
    """

    def __init__(self, run_limit: int, window: int) -> None:
        """Zero for no limit of that kind."""
        self._run_limit = run_limit
        self._window = window
        self._tenth = max(window // TENTHS, 1)
        self.seen = 0
        self._run = 0
        self._last = -1
        self._counts: dict[int, int] = {}

    def refuse(self, index: int, reason: str, detail: str, where: str) -> None:
        """Count the message that is the `index`-th of this partition. Raises RefusalLimit when it is one too many."""
        self._run = self._run + 1 if index == self._last + 1 else 1
        self._last = index
        tenth = index // self._tenth
        self._counts[tenth] = self._counts.get(tenth, 0) + 1
        if self._run_limit and self._run >= self._run_limit:
            raise _limit(f"{self._run} refusals in a row", reason, detail, where)
        if self._window:
            self._counts = {each: count for each, count in self._counts.items() if each > tenth - TENTHS}
            if sum(self._counts.values()) * 2 >= self._window:
                raise _limit(f"half of the latest {self._window} messages refused", reason, detail, where)

    def export(self) -> list[object] | None:
        """As JSON-able data; None while there is nothing to remember."""
        recent = self.seen // self._tenth - TENTHS
        counts = {str(each): count for each, count in self._counts.items() if each > recent}
        return [self.seen, self._run, self._last, counts] if counts else None

    def restore(self, exported: list[object] | None) -> None:
        """Back to what `export` gave. Raises ValueError for anything else."""
        match exported:
            case None:
                self.seen, self._run, self._last, self._counts = 0, 0, -1, {}
            case [int(seen), int(run), int(last), dict(counts)]:
                self.seen, self._run, self._last = seen, run, last
                self._counts = {int(each): int(count) for each, count in counts.items()}
            case _:
                raise ValueError("not an exported refusal count")


def _limit(what: str, reason: str, detail: str, where: str) -> RefusalLimit:
    return RefusalLimit(
        what,
        hint="nothing was lost: the batch is not committed; mend the sender, or raise "
        "STATELOG_REFUSAL_RUN and STATELOG_REFUSAL_WINDOW (0 for no limit) to let them through to the dead letters",
        at=where,
        last_reason=reason,
        last_detail=detail,
    )
