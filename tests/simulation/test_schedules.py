"""Random schedules: hundreds of seeds in each run of the tests, and ten thousand by `make simulate`."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
import structlog

from tests.simulation.counters import SOMETIMES, never
from tests.simulation.schedule import simulate

CHUNKS, SEEDS_A_CHUNK = 5, 100
SAME_SEEDS = (3, 11, 40, 77)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_promises_hold_whatever_happens_in_whichever_order(chunk: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(chunk * SEEDS_A_CHUNK, (chunk + 1) * SEEDS_A_CHUNK):
        counts += simulate(seed).counts
    assert not never(counts, SEEDS_A_CHUNK), "it did not come to what it is for"


@pytest.mark.parametrize("seed", SAME_SEEDS)
def test_a_seed_is_a_story_told_the_same_each_time(seed: int) -> None:
    first, second = simulate(seed), simulate(seed)
    assert (first.trace, first.counts) == (second.trace, second.counts)


def test_another_process_with_other_hashes_tells_it_too() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--seed", "7"]
    told = [
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": number}, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for number in ("1", "2")
    ]
    assert told[0] == told[1]
    assert told[0][-1] == f"seed 7: trace {simulate(7).trace}"


def test_other_seeds_are_other_stories() -> None:
    assert len({simulate(seed).trace for seed in range(5)}) == 5


def test_a_run_that_never_comes_to_something_is_told_so() -> None:
    counts = Counter(SOMETIMES)
    assert never(counts, 500) == []
    del counts["fence"]
    assert never(counts, 500) == ["fence"]
    assert "killed at INGESTED" in never(counts, 10_000)
