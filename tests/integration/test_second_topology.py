"""Another's topology, with keys, tables and topics of its own, is run, killed, restored, asked and proved like ours."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from pipeline.telemetry.poison import Message
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.exactness import assert_digests_equal, assert_same_once
from tests.support.load import Load
from tests.support.prefixes import assert_stores_are_prefixes
from tests.support.victim import Victim
from tests.support.waiting import eventually

TOPOLOGY = "tests.support.orders:topology"
CUSTOMERS = 40
FIRST_CUSTOMER = 1 << 40
GONE = 5
"""A customer who orders, pays and closes the account."""
KILLS = 3

pytestmark = pytest.mark.timeout(600)


class Books:
    """The oracle: what the lines, in the order of each customer, must come to."""

    def __init__(self) -> None:
        self.paid: dict[int, int] = {}
        self.unpaid: dict[int, dict[int, int]] = {}
        self.receipts: list[tuple[int, int, int]] = []
        self.refused: Counter[str] = Counter()

    def enter(self, line: str) -> None:
        words = line.split()
        if len(words) != 4:
            self.refused["not-an-order"] += 1
            return
        customer, order, cents = (int(word) for word in words[1:])
        due = self.unpaid.setdefault(customer, {})
        if words[0] == "order":
            due[order] = cents
            self.paid.setdefault(customer, 0)
        elif words[0] == "pay":
            if order not in due:
                self.refused["nothing-due"] += 1
                return
            self.receipts.append((customer, order, due[order]))
            self.paid[customer] += due.pop(order)
        elif due:
            self.refused["owes"] += 1
        else:
            self.paid.pop(customer, None)

    @property
    def balances(self) -> list[tuple[str, dict[str, int]]]:
        return [
            (str(customer), {"owed": sum(self.unpaid[customer].values()), "paid": paid})
            for customer, paid in sorted(self.paid.items())
        ]


def _lines(chance: random.Random) -> Iterator[Message]:
    """Lines with the key of their customer, so that each customer's stay in order."""
    placed: defaultdict[int, list[int]] = defaultdict(list)
    for number in count():
        customer = chance.randrange(CUSTOMERS) * 7 + FIRST_CUSTOMER
        kind = chance.choices(("order", "pay", "close", "nonsense"), (45, 50, 4, 1))[0]
        order = number
        if kind == "order":
            placed[customer].append(order)
        elif kind == "pay" and placed[customer]:
            order = placed[customer].pop(0)
        line = f"{kind} {customer} {order} {chance.randrange(1, 10_000)}"
        yield customer.to_bytes(8, "big"), (line if kind != "nonsense" else f"{kind} {customer}").encode()


def test_a_second_topology_is_exact_through_kills_and_lost_disks(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=3, topology=TOPOLOGY) as cluster:
        victims = [Victim(cluster, stage, "w", seed) for stage in ("intake", "ledger")]
        with Load(cluster, "lines", _lines(random.Random(seed)), rate=500) as load, ThreadPoolExecutor() as pool:
            tortures = [pool.submit(victim.suffer, KILLS, load) for victim in victims]
            last_kill = max(kill.sent for torture in tortures for kill in torture.result())
            eventually(lambda: len(load.sent) > last_kill, "the load outlasts the last kill")
        gone = [f"order {GONE} 1 100", f"pay {GONE} 1 0", f"close {GONE} 0 0"]
        cluster.send("lines", [(GONE.to_bytes(8, "big"), line.encode()) for line in gone])
        books = Books()
        for line in [*((line or b"").decode() for _key, line in load.sent), *gone]:
            books.enter(line)
        cluster.drain()
        _assert_books(cluster, books)
        _assert_answers(cluster, books)
        assert_digests_equal(cluster)
        cluster.stop()
        assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) == cluster.partitions


def _assert_books(cluster: Cluster, books: Books) -> None:
    receipts = [
        (int.from_bytes(record.key or b"", "big"), record.json["order"], record.json["cents"])
        for record in cluster.records("receipts")
    ]
    assert_same_once("receipts", receipts, books.receipts)
    letters = cluster.records("dead-letters")
    assert Counter(letter.headers["statelog-reason"].decode() for letter in letters) == books.refused
    assert cluster.rows("balances") == books.balances
    unpaid = [
        (f"{customer}/{order}", {"order": order, "cents": cents})
        for customer, due in sorted(books.unpaid.items())
        for order, cents in sorted(due.items())
    ]
    assert cluster.rows("unpaid") == unpaid


def _assert_answers(cluster: Cluster, books: Books) -> None:
    with cluster.client() as client:
        for customer, balance in books.balances[:5]:
            row = client.get("balances", customer)
            assert row is not None
            assert row.value == balance
            due = sorted(books.unpaid[int(customer)])
            assert [item.value["order"] for item in client.rows("unpaid", customer)] == due
            if due:
                later = client.rows("unpaid", customer, {"from": due[-1]})
                assert [item.value["order"] for item in later] == due[-1:]
        assert client.get("balances", str(GONE)) is None
        assert not list(client.rows("unpaid", str(GONE)))
