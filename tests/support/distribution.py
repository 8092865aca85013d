"""Several processes that run the tests between them (`pytest -n`), on one Kafka.

The process that hands out the tests starts it before them and stops it after them: it lives longest, however the run
ends. A broker each would cost memory, and more processor time than the tests themselves leave idle.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.brokers import Kafka, chosen

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

_KAFKA = pytest.StashKey[Kafka]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Called by xdist in the process that hands out the tests, for each that is about to be started."""
    stash = node.config.stash
    if _KAFKA not in stash:
        stash[_KAFKA] = _started(node.config)
    kafka = stash[_KAFKA]
    node.workerinput["kafka"] = {**asdict(kafka), "data_dir": str(kafka.data_dir or "")}


def shared_kafka(config: pytest.Config) -> Kafka | None:
    """The one that this process was given; none if it runs the tests alone."""
    given: dict[str, Any] | None = getattr(config, "workerinput", {}).get("kafka")
    if given is None:
        return None
    return Kafka(**{**given, "data_dir": Path(given["data_dir"]) if given["data_dir"] else None})


def whole_run(factory: pytest.TempPathFactory) -> Path:
    """A directory of this run, the same in each of its processes."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextmanager
def uncaptured(config: pytest.Config) -> Iterator[None]:
    """What is printed goes into the report, and not into what the tests have printed."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        yield


def say(config: pytest.Config, line: str) -> None:
    """Print a line of the report."""
    with uncaptured(config):
        print(f"\n{line}", flush=True)


def _started(config: pytest.Config) -> Kafka:
    # The first start on a machine shows how the fetch of Kafka gets on.
    with ExitStack() as stack, uncaptured(config):
        kafka = stack.enter_context(chosen(partial(say, config)))
        config.add_cleanup(stack.pop_all().close)
        return kafka
