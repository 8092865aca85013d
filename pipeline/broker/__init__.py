"""A real Apache Kafka for a machine that has none: no Docker, no Java, no root."""

from pipeline.broker.embedded import EmbeddedBroker, quicken_starts

__all__ = ["EmbeddedBroker", "quicken_starts"]
