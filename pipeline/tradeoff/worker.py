"""`python -m pipeline.tradeoff.worker PLACE STAGE …`: the shipped worker, with its tables in one of three places.

It tells now and then what it has said to Kafka, and to Redis.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import partial
from pathlib import Path

import structlog

from pipeline.log.kafka import connect
from pipeline.log.traffic import Traffic, TrafficMeter
from pipeline.logging import set_up_logging
from pipeline.runtime.progress_log import RestoreLog
from pipeline.runtime.start import MakeTasks, make_tasks
from pipeline.service import run_worker
from pipeline.settings import Settings
from pipeline.state.memory import MemoryStores
from pipeline.tradeoff.external import external_tasks
from pipeline.tradeoff.places import Place
from pipeline.tradeoff.redis_rows import RedisRows

TRAFFIC = "traffic"
"""The event whose lines tell what was sent and received until then."""
TELL_EVERY_S = 0.25
REDIS_URL = "STATELOG_REDIS_URL"

logger = structlog.get_logger(__name__)


def main() -> None:
    """Run a worker until SIGTERM or SIGINT. Settings come from flags, then from the environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", choices=[place.value for place in Place if place is not Place.RECOMPUTED])
    parser.add_argument("stage")
    parser.add_argument("--id")
    parser.add_argument("--http")
    parser.add_argument("--data-dir", type=Path, required=True)
    given = vars(parser.parse_args())
    place, stage = Place(given.pop("place")), given.pop("stage")
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    set_up_logging(settings.log_format, settings.log_level)
    rows = RedisRows(os.environ[REDIS_URL], settings.prefix) if place is Place.REDIS else None

    told_at = 0.0

    def tell(kafka: Traffic) -> None:
        nonlocal told_at
        if time.monotonic() - told_at < TELL_EVERY_S:
            return
        told_at = time.monotonic()
        trips = rows.round_trips if rows is not None else 0
        logger.info(TRAFFIC, **kafka._asdict(), redis_round_trips=trips)

    run_worker(settings, stage, RestoreLog(), log=connect(settings, TrafficMeter(tell)), make=_tasks(place, rows))


def _tasks(place: Place, rows: RedisRows | None) -> MakeTasks:
    if rows is not None:
        return external_tasks(rows)
    return partial(make_tasks, stores=MemoryStores()) if place is Place.MEMORY else make_tasks


if __name__ == "__main__":
    main()
