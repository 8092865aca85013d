"""Python's garbage collector, set for a process that makes millions of short-lived messages a minute."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 100_000
"""More than a poll hands over: messages go by their reference counts before the collector looks at them."""


def quiet_collector() -> None:
    """Leave what the start made alone for good, and look for cycles seldom.

    With Python's own threshold of 700 the collector walks through each poll's messages several times: a fifth of the
    time that polling takes. Nothing on the hot path makes cycles, so little waits for it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
