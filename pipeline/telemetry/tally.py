"""The account of what was sent, so that what arrives can be held against it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.telemetry.poison import POISONS

Codes = npt.NDArray[np.uint8]

FRESH = 0
"""A reading in its turn."""
DELAYED = 1
"""A reading that was overtaken by newer ones."""
RETRANSMITTED = 2
"""A reading that was sent before: same seq, same bytes."""
BROKEN = 3
"""The first of the codes of broken messages, one a row of POISONS."""


class Tally:
    """Counts messages by what they are. Each is counted once; what was made but not sent is not counted."""

    def __init__(self) -> None:
        self._counts = np.zeros(BROKEN + len(POISONS), dtype=np.int64)

    def add(self, codes: Codes) -> None:
        self._counts += np.bincount(codes, minlength=len(self._counts))

    @property
    def sent(self) -> int:
        return int(self._counts.sum())

    @property
    def readings(self) -> int:
        """Distinct valid readings."""
        return int(self._counts[FRESH] + self._counts[DELAYED])

    @property
    def delayed(self) -> int:
        return int(self._counts[DELAYED])

    @property
    def duplicates(self) -> int:
        return int(self._counts[RETRANSMITTED])

    @property
    def broken(self) -> int:
        return int(self._counts[BROKEN:].sum())

    @property
    def broken_by_kind(self) -> dict[str, int]:
        """Only the kinds that occurred."""
        counts = self._counts[BROKEN:].tolist()
        return {poison.kind: count for poison, count in zip(POISONS, counts, strict=True) if count}

    @property
    def broken_by_reason(self) -> dict[str, int]:
        """The same, by the reason that the dead letters must show."""
        counts: dict[str, int] = {}
        for poison, count in zip(POISONS, self._counts[BROKEN:].tolist(), strict=True):
            if count:
                counts[poison.reason] = counts.get(poison.reason, 0) + count
        return counts

    def as_dict(self) -> dict[str, Any]:
        return {
            "sent": self.sent,
            "readings": self.readings,
            "delayed": self.delayed,
            "duplicates": self.duplicates,
            "broken": self.broken,
            "broken_by_kind": self.broken_by_kind,
            "broken_by_reason": self.broken_by_reason,
        }
