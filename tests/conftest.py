"""Fixtures that every test may ask for."""

from __future__ import annotations

import os
import re
import signal
import uuid
from collections.abc import Callable, Iterator
from functools import partial

import hypothesis
import pytest

from tests.support.brokers import Kafka, PrivateBroker, chosen, private_brokers
from tests.support.distribution import pytest_configure_node, say, shared_kafka, whole_run
from tests.support.scale import Scale

__all__ = ["pytest_configure_node"]

# How long an example takes says how busy the machine is; what a test promises about time, it asserts.
hypothesis.settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any-machine")

FIGURE = "figure"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full-faults", action="store_true", help="fault tests at their full length (make faults)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    figures = [
        f"{report.nodeid}: {text}"
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call"
        for name, text in report.user_properties
        if name == FIGURE
    ]
    if figures:
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.write_line(line)


pytest_plugins = ["pytester"]


@pytest.fixture(scope="session", autouse=True)
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where nobody may write bytecode, every process that a test starts would compile all it imports, for seconds."""
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("PYTHONDONTWRITEBYTECODE"):
            patch.delenv("PYTHONDONTWRITEBYTECODE")
            patch.setenv("PYTHONPYCACHEPREFIX", str(whole_run(tmp_path_factory) / "bytecode"))
        yield


# A shell that starts tests in the background has them ignore SIGINT, and what they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    """A real Kafka for all tests; a line of the report says which."""
    shared = shared_kafka(request.config)
    if shared is not None:
        yield shared
    else:
        with chosen(partial(say, request.config)) as own:
            yield own


@pytest.fixture
def scale(request: pytest.FixtureRequest) -> Scale:
    """Whether a fault test runs bounded, or at its full length."""
    return Scale(full=bool(request.config.getoption("--full-faults")))


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes what a test measured, in one line; all of them end the report."""
    return lambda text: record_property(FIGURE, text)


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
