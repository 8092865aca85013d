"""The settings of Kafka's clients, in one place."""

from __future__ import annotations

from typing import Any

import structlog
from confluent_kafka import KafkaError

from pipeline.errors import Misconfigured
from pipeline.log.security import security
from pipeline.settings import Settings

ClientConfig = dict[str, Any]

# A client retries these by itself, for as long as it lives: worth a line only to those who look closely.
_PASSING = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE})

_log = structlog.get_logger("pipeline.log")


def bootstrap_servers(settings: Settings) -> str:
    """Where the cluster is. Raises Misconfigured when nothing says so."""
    if settings.bootstrap_servers:
        return settings.bootstrap_servers
    raise Misconfigured(
        "no kafka to talk to",
        hint="set STATELOG_BOOTSTRAP_SERVERS or --bootstrap-servers; `statelog broker` runs a kafka of your own",
    )


def common(settings: Settings, client_id: str = "statelog") -> ClientConfig:
    """What every client shares."""
    return {
        "bootstrap.servers": bootstrap_servers(settings),
        "client.id": client_id,
        **security(settings),
        # Each time all brokers are away a client begins anew with the bootstrap servers, and with the first of these
        # pauses: a worker took 7.7 % of a core for as long as they were away at 100 ms, 3.8 % at 200 ms. At 500 ms it
        # was 2.0 %, but members that came and went each second left partitions standing three times as long.
        "reconnect.backoff.ms": 200,
        "reconnect.backoff.max.ms": 1_000,
        # librdkafka's defaults wait up to a second between attempts of the start and of the first look-ups.
        "retry.backoff.ms": 20,
        "retry.backoff.max.ms": 500,
        "topic.metadata.refresh.fast.interval.ms": 10,
        # A client whose brokers all went at the wrong moment was seen to know of none when they were back, and to look
        # for none. One that hears nothing in answer to these begins with the bootstrap servers.
        "topic.metadata.refresh.interval.ms": 2_000,
        "metadata.recovery.rebootstrap.trigger.ms": 5_000,
        "socket.nagle.disable": True,
        # Its own lines would go raw to stderr; what matters comes as errors, here and from the calls.
        "log_level": 2,
        "error_cb": _client_error,
    }


def _client_error(error: KafkaError) -> None:
    write = _log.debug if error.code() in _PASSING else _log.warning
    write("kafka client error", code=error.name(), detail=error.str())
