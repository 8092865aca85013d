"""Who waits for a lock is not passed over by who takes it again and again."""

from __future__ import annotations

import threading
import time

from pipeline.runtime.turns import TurnLock

HELD_S = 0.01
TURNS = 20


def test_a_thread_that_waits_has_its_turn_after_one_of_the_other() -> None:
    lock, stop = TurnLock(), threading.Event()
    taken = 0

    def take_again_and_again() -> None:
        nonlocal taken
        while not stop.is_set():
            with lock:
                taken += 1
                time.sleep(HELD_S)

    holder = threading.Thread(target=take_again_and_again)
    holder.start()
    try:
        waited = []
        for _ in range(TURNS):
            before = taken
            with lock:
                waited.append(taken - before)
            time.sleep(HELD_S / 2)  # back to the other, in the middle of a turn of its own
    finally:
        stop.set()
        holder.join()
    assert max(waited) <= 2, "the turn that was going on, and one that began just before the question"


def test_it_is_let_go_by_an_error_too() -> None:
    lock = TurnLock()
    try:
        with lock:
            raise ValueError
    except ValueError:
        pass
    with lock:
        pass
