"""How fast telemetry is made up, and how fast it gets into Kafka.

    python -m benchmarks.produce [--messages N] [--devices N]

Takes the Kafka of STATELOG_BOOTSTRAP_SERVERS, else the embedded one.
"""

from __future__ import annotations

import argparse
import time
import uuid
from threading import Event

from pipeline.broker import EmbeddedBroker
from pipeline.log.admin import KafkaAdmin
from pipeline.log.feed import Feed
from pipeline.producing import Production
from pipeline.settings import Settings
from pipeline.telemetry.generator import Plan, Telemetry
from pipeline.telemetry.poison import Message

PARTITIONS = 8


def made_up(plan: Plan, count: int) -> tuple[list[Message], float]:
    """So many messages, and how many were made a second, start of the fleet included."""
    began = time.perf_counter()
    messages: list[Message] = []
    for batch in Telemetry(plan):
        messages += batch.messages
        if len(messages) >= count:
            break
    return messages, len(messages) / (time.perf_counter() - began)


def fed(settings: Settings, messages: list[Message]) -> float:
    """Messages a second, of messages that are ready, until the last is acknowledged."""
    feed = Feed(settings, _topic(settings))
    began = time.perf_counter()
    feed.send(messages)
    feed.flush()
    return feed.delivered / (time.perf_counter() - began)


def produced(settings: Settings, plan: Plan, count: int) -> float:
    """Messages a second, made up and acknowledged."""
    feed = Feed(settings, _topic(settings))
    began = time.perf_counter()
    Production(feed, Event(), sent=lambda _: None).make_up(Telemetry(plan), count)
    feed.flush()
    return feed.delivered / (time.perf_counter() - began)


def _topic(settings: Settings) -> str:
    name = f"benchmark-{uuid.uuid4().hex[:8]}"
    KafkaAdmin(settings).create_topics({name: {}}, PARTITIONS, 1)
    return name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--devices", type=int, default=2_000)
    arguments = parser.parse_args()
    settings = Settings()
    if settings.bootstrap_servers is None:
        with EmbeddedBroker() as broker:
            measure(Settings(bootstrap_servers=broker.bootstrap_servers), arguments.devices, arguments.messages)
    else:
        measure(settings, arguments.devices, arguments.messages)


def measure(settings: Settings, devices: int, count: int) -> None:
    for bad in (0.0, 0.01):
        plan = Plan(devices, seed=1, bad=bad)
        messages, rate = made_up(plan, count)
        print(f"{bad:4.0%} broken: made up {rate:>9,.0f}/s", end="", flush=True)
        print(f" · fed ready {fed(settings, messages):>9,.0f}/s", end="", flush=True)
        print(f" · made up and fed {produced(settings, plan, count):>9,.0f}/s", flush=True)


if __name__ == "__main__":
    main()
