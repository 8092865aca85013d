"""A worker's name and address as they travel in Kafka's `client.id`: `statelog;ID;HOST:PORT`.

Whoever may describe the group learns where its members listen, so that no other registry is needed.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_FORM = re.compile(r"statelog;(?P<id>[A-Za-z0-9._-]+);(?P<address>(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5})?")


class ClientId(NamedTuple):
    """Who a group member is, and where it answers."""

    worker_id: str
    address: str | None
    """HOST:PORT of its HTTP server; None when it has none."""

    def __str__(self) -> str:
        text = f"statelog;{self.worker_id};{self.address or ''}"
        if _FORM.fullmatch(text) is None:
            raise ValueError(f"a worker id is made of [A-Za-z0-9._-] and an address is HOST:PORT, unlike {text!r}")
        return text


def parse_client_id(text: str) -> ClientId | None:
    """The reverse of `str(ClientId)`; None for a member that is none of ours."""
    found = _FORM.fullmatch(text)
    return ClientId(found["id"], found["address"]) if found else None
