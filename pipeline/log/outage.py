"""What a client hears of an outage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError


class OutageWatch:
    """Whether all brokers of a client were away: what it has cached of them may then lead nowhere.

    A client tells when it is polled.
    """

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        tell = configuration["error_cb"]

        def note(error: KafkaError) -> None:
            self.seen |= error.code() == KafkaError._ALL_BROKERS_DOWN
            tell(error)

        self.seen = False
        self.configuration: dict[str, Any] = {**configuration, "error_cb": note}
        """For the client that is watched."""
