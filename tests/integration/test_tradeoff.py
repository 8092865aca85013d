"""Each place of state on real Kafka, killed with kill -9 between its last write and its commit, and left without its
store: what it holds in the end against the oracle, and against what the table says of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from operators.device import DEVICE_STATE
from pipeline.errors import Misconfigured, Retryable
from pipeline.log.api import TopicPartition
from pipeline.log.kafka import connect
from pipeline.log.traffic import EVERY_MS, TrafficMeter
from pipeline.rehearsal.ground import Cluster, Ground, ground_on
from pipeline.rehearsal.time_outs import TimeOuts
from pipeline.settings import Settings
from pipeline.state.envelope import unseal
from pipeline.tradeoff import recomputed
from pipeline.tradeoff.figures import Figures
from pipeline.tradeoff.order import Order
from pipeline.tradeoff.places import Place
from pipeline.tradeoff.questions import OfRedis, OfTheLog, Questions
from pipeline.tradeoff.redis_rows import RedisRows
from pipeline.tradeoff.redis_server import Redis, own_redis, redis_for
from pipeline.tradeoff.scenario import Scenario
from pipeline.tradeoff.stream import Stream
from tests.oracle import readings as oracle
from tests.oracle.compare import differences
from tests.support.brokers import Kafka
from tests.support.records import committed_records
from tests.support.redis import needs_redis
from tests.support.waiting import eventually

ORDER = Order(readings=4_000, devices=100, rate=400.0, seconds=2.0, kills=1)
PARTITIONS = 4


class Silent:
    """A `pipeline.rehearsal.telling.Telling` that keeps the last lines of logs for a test that fails."""

    def step(self, text: str, **facts: Any) -> None: ...
    def detail(self, text: str, **facts: Any) -> None: ...
    def table(self, name: str, rows: Any) -> None: ...
    def bar(self, name: str, done: float, total: float, text: str) -> None: ...
    def restored(self, partition: int, records: int, seconds: float) -> None: ...
    def drop_bars(self) -> None: ...
    def checks(self, checks: Any) -> None: ...

    def log_tail(self, name: str, lines: Any) -> None:
        print(name, *lines, sep="\n")


@contextmanager
def ground_of(kafka: Kafka, prefix: str) -> Iterator[tuple[Cluster, Ground]]:
    settings = Settings(bootstrap_servers=kafka.bootstrap_servers, prefix=prefix)
    cluster = Cluster("tradeoff", settings, None)
    with ground_on(cluster, Silent(), time_outs=TimeOuts(10_000, 9_000)) as ground, ExitStack() as after:
        after.callback(ground.forget_groups)
        yield cluster, ground


def expected_of(ground: Ground) -> oracle.Recount:
    """By the words of the contract, from the readings that are in the log."""
    servers = ground.settings.bootstrap_servers or ""
    records = committed_records(servers, ground.admin, ground.full("readings"))
    return oracle.recount(
        [oracle.ReadingsRecord(each.partition, each.offset, each.key or b"", each.json) for each in records],
        oracle.Parameters(partitions=PARTITIONS),
    )


def assert_states(expected: oracle.Recount, states: Any) -> None:
    assert not differences(expected.devices, dict(states))


def results_in(ground: Ground) -> Counter[tuple[str, str, int]]:
    records = committed_records(ground.settings.bootstrap_servers or "", ground.admin, ground.full("windows"))
    return Counter((each.json["device_id"], each.json["metric"], each.json["window_start"]) for each in records)


def states_of_changelog(ground: Ground) -> dict[str, Any]:
    spec = ground.stage.table(DEVICE_STATE)
    records = committed_records(ground.settings.bootstrap_servers or "", ground.admin, ground.full(spec.changelog))
    rows = {each.key or b"": each.value for each in records}
    return {
        key.decode(): spec.show(key, spec.value.decode(unseal(value)))
        for key, value in rows.items()
        if value is not None
    }


def assert_it_was_killed_and_measured(figures: Figures) -> None:
    assert figures.kills == ORDER.kills
    for measured in (figures.events_per_s, figures.result_p99_ms, figures.question_p99_ms, figures.recovery_s,
                     figures.join_s, figures.worker_mb):  # fmt: skip
        assert measured is not None
        assert measured > 0
    assert figures.of_an_event is not None
    assert figures.of_an_event.events > 0
    assert figures.of_an_event.bytes_each > 100, "a reading alone has more"
    assert 0 < figures.of_an_event.kafka_round_trips < figures.of_an_event.events


@pytest.mark.timeout(900)
@pytest.mark.parametrize("place", [Place.ROCKSDB, Place.MEMORY])
def test_with_a_changelog_nothing_is_lost_and_nothing_doubled(
    kafka: Kafka, prefix: str, place: Place, figure: Callable[[str], None]
) -> None:
    with ground_of(kafka, prefix) as (cluster, ground):
        found = Scenario(place, cluster, ground, Stream(ORDER.devices, 0), ORDER, Silent(), None).run()
        expected = expected_of(ground)
        assert_states(expected, states_of_changelog(ground))
        results = results_in(ground)
    sent = [(each["device_id"], each["metric"], each["window_start"])
            for listed in expected.results.values() for each in listed]  # fmt: skip
    assert results == Counter(sent)
    assert found.verdict.exact
    assert found.verdict.readings == sum(device["readings"] for device in expected.devices.values())
    assert found.verdict.results == len(sent)
    assert_it_was_killed_and_measured(found)
    assert (found.down.back_s is not None) == (place is Place.ROCKSDB)
    figure(f"{place.value}: {found.kills} kills -9 before the commit, 0 of {found.verdict.readings:,} lost or doubled")


@needs_redis
@pytest.mark.timeout(900)
def test_in_redis_the_check_of_origins_saves_the_state_and_results_are_lost(
    kafka: Kafka, prefix: str, figure: Callable[[str], None]
) -> None:
    with ground_of(kafka, prefix) as (cluster, ground), redis_for(None, ground) as redis:
        found = Scenario(Place.REDIS, cluster, ground, Stream(ORDER.devices, 0), ORDER, Silent(), redis).run()
        expected = expected_of(ground)
        questions = OfRedis(ground, redis.url)
        assert_states(expected, questions.states())
        questions.close()
        results = results_in(ground)
        assert not states_of_changelog(ground)
    sent = Counter((each["device_id"], each["metric"], each["window_start"])
                   for listed in expected.results.values() for each in listed)  # fmt: skip
    again = found.folded_again or 0
    assert again > 0, "each kill came when Redis had a batch that was not committed"
    lost = sent - results
    assert not results - sent
    assert lost.total() > 0, (
        "the results of those batches; of other transactions too, if any was aborted after its write"
    )
    assert (found.verdict.readings_lost, found.verdict.readings_doubled, found.verdict.wrong_sums) == (0, 0, 0)
    assert (found.verdict.results_lost, found.verdict.results_doubled) == (lost.total(), 0)
    assert_it_was_killed_and_measured(found)
    assert found.of_an_event is not None
    assert found.of_an_event.redis_bytes > 0
    assert found.of_an_event.redis_round_trips > 0
    assert (found.down.committed_meanwhile, found.down.back_s is not None) == (0, True)
    assert "no question was answered" in found.down.words
    figure(f"redis: {again:,} readings folded twice but for their origin, {lost.total():,} of {sent.total():,} results "
           f"lost, nothing folded while it was away for {found.down.away_s:.1f} s")  # fmt: skip


@pytest.mark.timeout(600)
def test_recomputed_on_each_question_it_is_what_the_oracle_says(kafka: Kafka, prefix: str) -> None:
    with ground_of(kafka, prefix) as (_, ground):
        stream = Stream(ORDER.devices, 0)
        found = recomputed.measure(ground, stream, ORDER, Silent())
        expected = expected_of(ground)
        questions: Questions = OfTheLog(ground)
        assert_states(expected, questions.states())
        one = stream.devices[7]
        assert not differences(expected.devices[one], questions.ask(one))
        assert questions.ask("nobody") is None
        questions.close()
    assert found.verdict.exact
    assert found.of_a_question is not None
    assert found.of_a_question.bytes_each > 10_000, "a question reads a quarter of the log"
    assert found.events_per_s is None


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[tuple[RedisRows, Redis]]:
    with own_redis(tmp_path) as server:
        rows = RedisRows(server.url, "p-")
        yield rows, Redis(server.url, "p-", server)
        rows.close()


@needs_redis
def test_rows_are_written_together_and_fetched_together(rows: tuple[RedisRows, Redis]) -> None:
    store, redis = rows
    store.write({"a": {b"1": b"x", b"2": b"y"}, "b": {b"1": b"z"}, "empty": {}})
    assert store.get_many("a", [b"2", b"3", b"1"]) == {b"2": b"y", b"3": None, b"1": b"x"}
    store.write({"a": {b"1": None, b"2": b"w"}})
    assert dict(store.scan("a")) == {b"2": b"w"}
    assert store.get("b", b"1") == b"z"
    assert store.round_trips == 5
    assert store.get_many("a", []) == {}
    store.write({"a": {}})
    assert store.round_trips == 5, "nothing to ask or to say is not asked and not said"
    other = RedisRows(redis.url, "q-")
    assert other.get("b", b"1") is None
    other.close()
    before = redis.traffic_bytes()
    store.get_many("a", [b"k" * 1_000] * 100)
    assert redis.traffic_bytes() - before > 100_000
    assert (redis.file_bytes() or 0) > 0
    store.delete(["a", "b"])
    assert not list(store.scan("b"))


@needs_redis
def test_a_redis_that_was_killed_is_retryable_and_comes_back_with_its_rows(rows: tuple[RedisRows, Redis]) -> None:
    store, redis = rows
    store.write({"a": {b"1": b"x"}})
    server = redis.server
    assert server is not None
    server.kill()
    with pytest.raises(Retryable, match="redis does not answer"):
        store.get("a", b"1")
    server.start()
    assert store.get("a", b"1") == b"x"


@needs_redis
def test_a_url_that_is_none_is_misconfigured() -> None:
    with pytest.raises(Misconfigured):
        RedisRows("not-a-url", "")


def test_the_meter_counts_what_goes_to_the_brokers_and_comes_back(kafka: Kafka, prefix: str) -> None:
    settings = Settings(bootstrap_servers=kafka.bootstrap_servers, prefix=prefix, compression="none")
    told: list[int] = []
    meter = TrafficMeter(lambda traffic: told.append(traffic.sent_bytes))
    log = connect(settings, meter)
    admin, topic, size, count = log.admin(), f"{prefix}metered", 1_000, 500
    admin.create_topics({topic: {}}, 1, 1)
    sink, reader = log.sink(f"{prefix}meter"), log.reader()
    try:
        sink.begin()
        for _ in range(count):
            sink.send(topic, b"key", bytes(size), 0)
        sink.flush()
        sink.commit()
        reader.assign({TopicPartition(topic, 0): 0})
        left = [count]

        def heard() -> bool:
            left[0] -= len(reader.poll(count, 0.1))
            sink.begin()  # a client tells when it is polled
            sink.commit()
            return left[0] == 0 and meter.total.sent_bytes > size * count and meter.total.received_bytes > size * count

        eventually(heard, "both clients have told of it", pause_s=EVERY_MS / 1_000)
    finally:
        sink.close()
        reader.close()
        admin.delete_topics([topic])
        admin.close()
    total = meter.total
    assert size * count < total.sent_bytes < size * count * 1.5
    assert size * count < total.received_bytes < size * count * 1.5
    assert 5 < total.requests < 2_000
    assert told == sorted(told)
