"""Duplicates, restarts and readings that are too old, by `seq`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from operators.duplicates import NONE_FOLDED, REMEMBERED, Verdict, judge

NEW, DUPLICATE, TOO_OLD = Verdict.NEW, Verdict.DUPLICATE, Verdict.TOO_OLD


class Numbers:
    """A metric's numbers, fed with (seq, event time); a restart counts, and is new."""

    def __init__(self) -> None:
        self.greatest = -1
        self.missing = NONE_FOLDED
        self.last_time = -1
        self.restarts = 0

    def __call__(self, seq: int, event_time: int) -> Verdict:
        newer = event_time > self.last_time
        verdict, self.greatest, self.missing = judge(seq, self.greatest, self.missing, newer=newer)
        if verdict in (NEW, Verdict.RESTART):
            self.restarts += verdict
            self.last_time = max(self.last_time, event_time)
            return NEW
        return verdict


def test_the_first_number_may_be_any() -> None:
    assert Numbers()(0, 0) is NEW
    assert Numbers()(2**53 - 1, 0) is NEW


def test_the_same_number_again_is_a_duplicate() -> None:
    judged = Numbers()
    assert [judged(seq, 100) for seq in (5, 6, 6, 5)] == [NEW, NEW, DUPLICATE, DUPLICATE]


def test_a_number_that_comes_late_is_folded_once() -> None:
    judged = Numbers()
    assert [judged(seq, 100) for seq in (5, 8, 6, 6, 7, 8)] == [NEW, NEW, NEW, DUPLICATE, NEW, DUPLICATE]


def test_numbers_before_the_first_are_folded_where_they_can_be_told() -> None:
    judged = Numbers()
    assert [judged(seq, 100) for seq in (100, 37, 37, 36)] == [NEW, NEW, DUPLICATE, TOO_OLD]


def test_the_newest_reading_is_never_a_duplicate_but_a_restart() -> None:
    judged = Numbers()
    assert [judged(7, 100), judged(7, 101), judged(0, 102)] == [NEW, NEW, NEW]
    assert judged.restarts == 2


def test_after_a_restart_the_sequence_begins_anew() -> None:
    judged = Numbers()
    for seq in range(90, 101):
        judged(seq, seq)
    assert judged(3, 200) is NEW  # the restart
    assert [judged(2, 150), judged(2, 150), judged(3, 200)] == [NEW, DUPLICATE, DUPLICATE]
    assert judged(4, 201) is NEW
    assert judged.restarts == 1


def test_sixty_four_numbers_are_remembered() -> None:
    judged = Numbers()
    for seq in range(200):
        judged(seq, seq)
    greatest = 199
    assert judged(greatest - REMEMBERED + 1, 0) is DUPLICATE
    assert judged(greatest - REMEMBERED, 0) is TOO_OLD


def test_a_jump_of_any_width_forgets_what_is_too_far_behind() -> None:
    for width in (63, 64, 65, 2**52):
        judged = Numbers()
        judged(10, 0)
        judged(10 + width, 0)
        assert judged(10, 0) is (DUPLICATE if width < REMEMBERED else TOO_OLD)
        assert judged(10 + width - 1, 0) is NEW


def test_a_sequence_without_gaps_is_remembered_as_zero() -> None:
    judged = Numbers()
    for seq in range(REMEMBERED):
        judged(seq, seq)
    assert judged.missing == 0


@given(st.lists(st.tuples(st.integers(0, 150), st.integers(0, 50)), max_size=120))
def test_the_mask_remembers_what_a_set_would(readings: list[tuple[int, int]]) -> None:
    judged = Numbers()
    folded: set[int] = set()
    for seq, event_time in readings:
        greatest = max(folded, default=-1)
        expected = NEW
        if event_time > judged.last_time:
            folded = folded if seq > greatest else set()
        elif seq <= greatest - 64:
            expected = TOO_OLD
        elif seq in folded:
            expected = DUPLICATE
        assert judged(seq, event_time) is expected
        if expected is NEW:
            folded.add(seq)
