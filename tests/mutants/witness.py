"""A pytest plugin for the runs of `workshop.py`: whose code was imported, and how each test ended."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest

from tests.mutants.catalogue import SHIPPED


class End(msgspec.Struct, frozen=True):
    """How a phase of a test, or the collection of a file, ended."""

    test: str
    when: str
    """`collect`, `setup`, `call` or `teardown`."""
    outcome: str
    errors: list[str]
    """The classes of what was raised."""
    why: str


class Testimony(msgspec.Struct):
    """What a run of pytest was."""

    __test__ = False

    imported: list[str] = []
    """The files of the shipped packages that were in use."""
    ends: list[End] = []


class Witness:
    """Writes its testimony when the session is over."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._testimony = Testimony()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._testimony.ends.append(End(report.nodeid, "collect", report.outcome, [], report.longreprtext))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        raised = call.excinfo.value if call.excinfo is not None else None
        errors = [kind.__name__ for kind in type(raised).__mro__] if raised is not None else []
        why = f"{type(raised).__name__}: {raised}" if raised is not None else ""
        self._testimony.ends.append(End(item.nodeid, report.when, report.outcome, errors, why))
        return report

    def pytest_sessionfinish(self) -> None:
        self._testimony.imported = sorted(
            str(module.__file__)
            for name, module in list(sys.modules.items())
            if name.partition(".")[0] in SHIPPED and getattr(module, "__file__", None)
        )
        self._file.write_bytes(msgspec.json.encode(self._testimony))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--testimony", type=Path, help="a file for what the witness saw")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Witness(config.getoption("--testimony")))
