"""The end of a client."""

from __future__ import annotations

import threading


def end_beside(clients: list[object]) -> None:
    """Empty the list, which has to hold the last reference to each: a client ends when it is let go of.

    On a thread of its own, that keeps nobody from ending: while the cluster is away the end of a client may take long.
    """
    threading.Thread(target=clients.clear, name="statelog-ending", daemon=True).start()
