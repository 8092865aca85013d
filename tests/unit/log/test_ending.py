"""Clients that are given up are gone, not left to ask on: seen by their threads, in a process that has no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

CHILD = """
import gc
from pathlib import Path
from confluent_kafka import KafkaException
from pipeline.errors import Retryable
from pipeline.log.config import common
from pipeline.log.coordinated import CoordinatedClient
from pipeline.log.kafka import KafkaLog
from pipeline.settings import Settings
from tests.support.waiting import eventually

settings = Settings(bootstrap_servers="127.0.0.1:9", transaction_timeout_ms=1_000)
gc.disable()  # as a worker has it: errors that refer to each other stay for long

def name_of(thread):
    try:
        return thread.read_text()
    except OSError:
        return ""  # it ended since it was listed

def threads():
    return sum(name_of(each).startswith("rdk:") for each in Path("/proc/self/task").glob("*/comm"))

def make_a_producer():
    KafkaLog(settings).sink("x")

def ask_for_a_group():
    ask = CoordinatedClient(common(settings), 0.5)
    ask(lambda client, timeout_s: client.describe_consumer_groups(["x"], request_timeout=timeout_s)["x"])

try:
    {act}()
except (Retryable, KafkaException) as error:
    kept = error
eventually(lambda: threads() == 0, "nothing of it is left")
print(repr(kept))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a process's threads by name")
@pytest.mark.parametrize(("act", "error"), [("make_a_producer", "Retryable"), ("ask_for_a_group", "_TIMED_OUT")])
def test_a_client_that_found_no_cluster_is_gone(act: str, error: str) -> None:
    code = CHILD.replace("{act}", act)
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert error in child.stdout
