"""Ports for a broker on loopback."""

from __future__ import annotations

import random
import socket

from pipeline.broker.config import HOST
from pipeline.errors import BrokerFailed

# Below the ports that Linux and macOS give to outgoing connections. Among those, a client that keeps trying to reach a
# broker that is down may be given the broker's own port and connect to itself, and the broker could not come back.
# Above those that workers come back to (`pipeline.query.listener`), which would take it while the broker is down.
_FIRST, _LAST = 20_000, 32_000


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def free_port() -> int:
    """One that nobody uses, chosen at random so that two who choose at once hardly meet."""
    chosen = random.SystemRandom().sample(range(_FIRST, _LAST), 100)
    for port in chosen:
        if is_free(port):
            return port
    raise BrokerFailed("no free port", hint="name one with --port", tried=len(chosen))
