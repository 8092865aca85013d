"""How fast the two workers go, exactly once, next to what a Python process can be fed at most.

    python -m benchmarks.throughput [--records N] [--devices N] [--rounds N] [--cache-entries N]

The shipped topology: validation and units in the transform; statistics, the duplicates check, origins and windows in
the aggregate. Each round has topics of its own; within a round the stages run one after the other, each alone in a
process of its own. `restore` is the aggregate without its disk, in changelog records. Takes the Kafka of
STATELOG_BOOTSTRAP_SERVERS, else the embedded one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import uuid
from contextlib import ExitStack
from threading import Event

from pipeline.broker import EmbeddedBroker
from pipeline.log.admin import KafkaAdmin
from pipeline.log.feed import Feed
from pipeline.producing import Production
from pipeline.runtime.start import load_topology
from pipeline.settings import Settings
from pipeline.telemetry.generator import Plan, Telemetry
from pipeline.topics import TopicPlan

PARTITIONS = 4
STEPS = ("transform", "ceiling", "aggregate", "restore")


def one_round(servers: str, plan: Plan, records: int, cache_entries: int) -> dict[str, dict[str, float]]:
    prefix = f"throughput-{uuid.uuid4().hex[:8]}-"
    settings = Settings(bootstrap_servers=servers, prefix=prefix)
    admin = KafkaAdmin(settings)
    TopicPlan(load_topology(settings), prefix).create(admin, PARTITIONS, 1)
    feed = Feed(settings, f"{prefix}telemetry")
    Production(feed, Event(), sent=lambda _: None).make_up(Telemetry(plan), records)
    feed.flush()
    figures = {}
    with tempfile.TemporaryDirectory() as directory:
        environment = {
            **os.environ,
            "STATELOG_BOOTSTRAP_SERVERS": servers,
            "STATELOG_PREFIX": prefix,
            "STATELOG_DATA_DIR": directory,
            "STATELOG_CACHE_ENTRIES": str(cache_entries),
        }
        for step in STEPS:
            if step == "restore":
                shutil.rmtree(directory)
            command = [sys.executable, "-m", "benchmarks.stage_run", step, str(feed.delivered)]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            figures[step] = json.loads(done.stdout.splitlines()[-1])
    admin.delete_topics(list(TopicPlan(load_topology(settings), prefix).configs))
    admin.close()
    return figures


def report(rounds: list[dict[str, dict[str, float]]]) -> None:
    print(f"{'':12} {'events/s':>12} {'(min to max)':>24} {'CPU s/M events':>15} {'peak RSS MB':>12}")
    for step in STEPS:
        rates = [each[step]["records"] / each[step]["seconds"] for each in rounds]
        cpu = statistics.median(each[step]["cpu_seconds"] / each[step]["records"] * 1e6 for each in rounds)
        peak = max(each[step]["peak_rss_mb"] for each in rounds)
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
        print(f"{step:12} {statistics.median(rates):12,.0f} {spread:>24} {cpu:15.2f} {peak:12,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache-entries", type=int, default=100_000)
    arguments = parser.parse_args()
    plan = Plan(devices=arguments.devices, seed=1)
    named = os.environ.get("STATELOG_BOOTSTRAP_SERVERS")
    with ExitStack() as stack:
        servers = named or stack.enter_context(EmbeddedBroker()).bootstrap_servers
        rounds = [one_round(servers, plan, arguments.records, arguments.cache_entries) for _ in range(arguments.rounds)]
    report(rounds)


if __name__ == "__main__":
    main()
