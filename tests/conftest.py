"""Fixtures that every test may ask for."""

from __future__ import annotations

import os
import re
import signal
import uuid
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from tests.support.brokers import Kafka, PrivateBroker, chosen, private_brokers

pytest_plugins = ["pytester"]


@pytest.fixture(scope="session", autouse=True)
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where nobody may write bytecode, every process that a test starts would compile all it imports, for seconds."""
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("PYTHONDONTWRITEBYTECODE"):
            patch.delenv("PYTHONDONTWRITEBYTECODE")
            patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
        yield


# A shell that starts tests in the background has them ignore SIGINT, and what they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    """A real Kafka for all tests; a line of the report says which."""
    capture = request.config.pluginmanager.get_plugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            print(f"\n{line}", flush=True)

    with chosen(say) as kafka:
        yield kafka


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """Goes before this test's topics, groups and transactional ids, so that no two tests meet."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    return f"{name}-{uuid.uuid4().hex[:8]}-"


@pytest.fixture
def private_broker() -> Iterator[PrivateBroker]:
    """An embedded broker of the test's own, to stop, kill and restart."""
    with private_brokers() as make:
        yield make
