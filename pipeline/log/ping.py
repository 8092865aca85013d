"""Whether a Kafka is there, asked the way a client asks."""

from __future__ import annotations

from pipeline.errors import Retryable
from pipeline.log.admin import KafkaAdmin
from pipeline.settings import Settings


def ping(bootstrap_servers: str, timeout_s: float) -> bool:
    """Whether a broker at these addresses describes its cluster within the time.

    Raises what no waiting mends: Misconfigured when the client and the cluster do not fit together.
    """
    try:
        return KafkaAdmin(Settings(bootstrap_servers=bootstrap_servers), timeout_s=timeout_s).brokers() > 0
    except Retryable:
        return False
