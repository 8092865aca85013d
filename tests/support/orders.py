"""A second pipeline, of another trade: customers order, pay and close their accounts.

Lines of text become orders keyed by customer, 8 bytes big-endian; orders become balances and a list of what is still to
be paid, and a receipt goes out for each payment. Paid orders and closed accounts are deleted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any

from operators.api import Output, Record, Refusal, Table, TaskContext
from operators.topology import AggregateStage, KeyRange, TableSpec, Topology, TransformStage

BALANCES = "balances"
UNPAID = "unpaid"

_ID = Struct(">Q")
_ORDER = Struct(">BQQ")
_BALANCE = Struct(">QQ")
_KINDS = {"order": 0, "pay": 1, "close": 2}


class Intake:
    """From `KIND CUSTOMER ORDER CENTS` to 17 bytes: kind, order and cents."""

    def transform(self, record: Record) -> Output | Refusal:
        try:
            kind, customer, order, cents = (record.value or b"").decode().split()
            value = _ORDER.pack(_KINDS[kind], int(order), int(cents))
            key = _ID.pack(int(customer))
        except Exception as error:
            return Refusal("not-an-order", repr(error))
        return Output("orders", key, value, record.timestamp_ms)


class Ledger:
    """Folds orders into what each customer owes and has paid."""

    def __init__(self, tables: Mapping[str, Table[Any]], _context: TaskContext) -> None:
        self._balances: Table[tuple[int, int]] = tables[BALANCES]
        self._unpaid: Table[int] = tables[UNPAID]

    def fold(self, record: Record) -> Sequence[Output] | Refusal | None:
        if record.key is None or record.value is None:
            return Refusal("no-order", "an order has a key and a value")
        kind, order, cents = _ORDER.unpack(record.value)
        row = record.key + _ID.pack(order)
        owed, paid = self._balances.get(record.key) or (0, 0)
        if kind == _KINDS["order"]:
            self._unpaid.put(row, cents)
            self._balances.put(record.key, (owed + cents, paid))
            return None
        if kind == _KINDS["close"]:
            if owed:
                return Refusal("owes", f"{owed} cents are to be paid")
            self._balances.delete(record.key)
            return None
        due = self._unpaid.get(row)
        if due is None:
            return Refusal("nothing-due", f"order {order} is paid or was never placed")
        self._unpaid.delete(row)
        self._balances.put(record.key, (owed - due, paid + due))
        receipt = json.dumps({"order": order, "cents": due}).encode()
        return [Output("receipts", record.key, receipt, record.timestamp_ms)]


class Number:
    """A value that is one number."""

    def encode(self, value: int) -> bytes:
        return _ID.pack(value)

    def decode(self, data: bytes) -> int:
        return int.from_bytes(_exactly(data, _ID), "big")


class Balance:
    """A value of two numbers: cents owed and cents paid."""

    def encode(self, value: tuple[int, int]) -> bytes:
        return _BALANCE.pack(*value)

    def decode(self, data: bytes) -> tuple[int, int]:
        owed, paid = _BALANCE.unpack(_exactly(data, _BALANCE))
        return owed, paid


def _exactly(data: bytes, form: Struct) -> bytes:
    if len(data) != form.size:
        raise ValueError(f"{len(data)} bytes instead of {form.size}")
    return data


class CustomerKey:
    """A customer's number, typed and shown in decimal."""

    def parse(self, text: str) -> bytes:
        if not (text.isascii() and text.isdigit() and int(text) < 1 << 64):
            raise ValueError(f"{text!r} is no customer: a number")
        return _ID.pack(int(text))

    def route(self, key: bytes) -> bytes:
        return key[: _ID.size]

    def show(self, key: bytes) -> str:
        return "/".join(str(int.from_bytes(key[at : at + _ID.size], "big")) for at in range(0, len(key), _ID.size))


def orders_of(customer: bytes, parameters: Mapping[str, str]) -> KeyRange:
    """All of a customer's unpaid orders, or those with numbers `from` and above."""
    start = _ID.pack(int(parameters.get("from", "0")))
    return KeyRange(customer + start, _ID.pack(int.from_bytes(customer, "big") + 1))


def _show_balance(_key: bytes, value: tuple[int, int]) -> dict[str, int]:
    return {"owed": value[0], "paid": value[1]}


def _show_unpaid(key: bytes, cents: int) -> dict[str, int]:
    return {"order": int.from_bytes(key[_ID.size :], "big"), "cents": cents}


topology = Topology(
    name="orders",
    version="1",
    stages=(
        TransformStage(name="intake", source="lines", outputs=("orders",), operator=Intake),
        AggregateStage(
            name="ledger",
            source="orders",
            outputs=("receipts",),
            tables=(
                TableSpec(name=BALANCES, key=CustomerKey(), value=Balance(), show=_show_balance),
                TableSpec(
                    name=UNPAID,
                    key=CustomerKey(),
                    value=Number(),
                    show=_show_unpaid,
                    select=orders_of,
                    select_parameters=("from",),
                ),
            ),
            operator=Ledger,
        ),
    ),
)
