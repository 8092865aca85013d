"""The table in memory that users test their aggregates with."""

from __future__ import annotations

import pytest

from operators.testing import DictTable
from schemas.state import StateCodec


def make() -> DictTable[list[int]]:
    table = DictTable(StateCodec(list[int]))
    table.put(b"a", [1])
    table.commit()
    return table


def test_what_was_put_is_there_before_and_after_the_commit() -> None:
    table = make()
    table.put(b"b", [2])
    assert table.get(b"b") == [2]
    table.commit()
    assert table.rows() == {b"a": [1], b"b": [2]}


def test_what_was_deleted_is_gone() -> None:
    table = make()
    table.delete(b"a")
    assert table.get(b"a") is None
    table.commit()
    assert table.committed == {}


def test_a_rollback_undoes_what_was_changed_in_place() -> None:
    table = make()
    value = table.get(b"a")
    assert value is not None
    value.append(2)
    table.put(b"a", value)
    table.rollback()
    assert table.get(b"a") == [1]


def test_a_value_changed_in_place_and_not_put_is_found() -> None:
    table = make()
    value = table.get(b"a")
    assert value is not None
    value.append(2)
    with pytest.raises(ValueError, match="changed in place and not put"):
        table.commit()
