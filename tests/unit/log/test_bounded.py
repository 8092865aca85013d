"""Calls that may never return: an outcome, an error, or the word that there is none."""

from __future__ import annotations

import threading

import pytest

from pipeline.log.bounded import BoundedCalls, CallHangs


def wait(event: threading.Event) -> None:
    event.wait()


def test_a_call_runs_and_its_error_is_raised() -> None:
    bounded, ran = BoundedCalls(), list[str]()
    bounded(lambda: ran.append("one"), 30)
    with pytest.raises(ZeroDivisionError):
        bounded(lambda: ran.append(str(1 / 0)), 30)
    bounded(lambda: ran.append("two"), 30)
    assert ran == ["one", "two"]
    bounded.close()


def test_a_call_that_does_not_return_is_given_up() -> None:
    bounded, never = BoundedCalls(), threading.Event()
    with pytest.raises(CallHangs):
        bounded(lambda: wait(never), 0.05)
    bounded.close()
    never.set()
