"""One row: from its owner, with what the answer is worth, or a reason why not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pipeline.query.wire import ROUTED_HEADER
from pipeline.runtime.view import PartitionState
from pipeline.state.api import Position, WriteSet
from tests.support.web import http
from tests.unit.query.world import World, world

PARTITIONS = 4


@contextlib.contextmanager
def two_workers() -> Iterator[World]:
    """Worker a holds partitions 0 and 1, worker b holds 2 and 3; each word is where it belongs."""
    with world(PARTITIONS) as one:
        one.worker("a", [0, 1])
        one.worker("b", [2, 3])
        one.put_words({f"word-{number}": number for number in range(40)})
        yield one


@pytest.fixture(scope="module")
def calm() -> Iterator[World]:
    """Two workers with which nothing happens."""
    with two_workers() as one:
        yield one


@pytest.fixture
def two() -> Iterator[World]:
    """Two workers of one's own."""
    with two_workers() as one:
        yield one


def word_in(one: World, partition: int) -> str:
    directory = one.directory()
    return next(f"word-{n}" for n in range(40) if directory.partition_of(f"word-{n}".encode()) == partition)


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["type"].endswith(f":{kind}")
    assert document["title"]
    assert document["detail"]
    return document


def get(one: World, worker: str, target: str, **headers: str) -> httpx.Response:
    return http.get(one.url(worker, target), headers=headers)


@pytest.mark.parametrize("asked", ["a", "b"])
@pytest.mark.parametrize("partition", range(PARTITIONS))
def test_any_worker_gives_the_owners_answer(calm: World, asked: str, partition: int) -> None:
    word = word_in(calm, partition)
    answer = get(calm, asked, f"/v1/words/{word}")
    assert answer.status_code == 200
    assert answer.json() == {
        "key": word.encode().hex(),
        "value": {"is": int(word.removeprefix("word-"))},
        "meta": {
            "owner": "a" if partition < 2 else "b",
            "partition": partition,
            "position": 100,
            "lag": {"records": 20, "age_s": 0.5},
            "served_by": "active",
            "complete": True,
        },
    }


def test_a_head_has_the_status_and_no_body(calm: World) -> None:
    answer = http.head(calm.url("a", f"/v1/words/{word_in(calm, 3)}"))
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_view_shows_the_row_another_way(calm: World) -> None:
    word = word_in(calm, 0)
    assert get(calm, "b", f"/v1/words/{word}?view=bare").json()["value"] == int(word.removeprefix("word-"))


@pytest.mark.parametrize("asked", ["a", "b"])
def test_an_absent_row_is_a_404_that_says_who_knows(calm: World, asked: str) -> None:
    document = problem(get(calm, asked, "/v1/words/never-seen"), 404, "no-such-row")
    assert document["meta"]["complete"] is True
    assert document["meta"]["position"] == 100


@pytest.mark.parametrize(
    ("target", "status", "kind"),
    [
        ("/v1/nothing/x", 404, "unknown-table"),
        ("/v1/nothing", 404, "unknown-table"),
        ("/v1/words/x?view=nothing", 404, "unknown-view"),
        ("/v1/words/", 400, "bad-key"),
        ("/v1/words/x?colour=red", 400, "bad-parameter"),
        ("/v1/words/x?view=bare&view=bare", 400, "bad-parameter"),
        ("/v1/words/%ff", 400, "bad-request"),
        ("/v1/words/x?view=%ff", 400, "bad-request"),
        ("/v1/events/x?from=soon", 400, "bad-parameter"),
        ("/v1/notes/x", 404, "no-such-path"),
        ("/v2/words/x", 404, "no-such-path"),
        ("/", 404, "no-such-path"),
        ("/v1/words?limit=0", 400, "bad-parameter"),
        ("/v1/words?limit=1001", 400, "bad-parameter"),
        ("/v1/words?limit=٣", 400, "bad-parameter"),
        ("/v1/words?after=x/y", 400, "bad-parameter"),
        ("/v1/words?partial=perhaps", 400, "bad-parameter"),
        ("/v1/words?partitions=0", 400, "bad-parameter"),
        ("/v1/status?all=1", 400, "bad-parameter"),
        ("/v1/verify?partitions=4", 400, "bad-parameter"),
        ("/v1/words/" + "x" * 5_000, 414, "too-long"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong_with_it(calm: World, target: str, status: int, kind: str) -> None:
    problem(get(calm, "a", target), status, kind)


def test_an_unknown_table_is_told_the_known_ones(calm: World) -> None:
    assert problem(get(calm, "a", "/v1/word/x"), 404, "unknown-table")["tables"] == ["words", "events", "notes"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_is_changed_by_http(calm: World, method: str) -> None:
    answer = http.request(method, calm.url("a", "/v1/words/x"))
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD"


def test_a_body_is_refused(calm: World) -> None:
    problem(http.request("GET", calm.url("a", "/v1/words/x"), content=b"{}"), 413, "body-not-allowed")


def test_headers_beyond_the_limit_are_refused_and_the_server_lives(calm: World) -> None:
    problem(get(calm, "a", "/healthz", cookie="x" * 40_000), 431, "headers-too-long")
    with contextlib.suppress(httpx.ReadError):  # cut off in the middle, or told so
        assert get(calm, "a", "/healthz", cookie="x" * 400_000).status_code == 400
    assert get(calm, "a", "/healthz").status_code == 200


def test_keys_of_any_characters_are_found(calm: World) -> None:
    keys = ["..", ".", "a/b", "a%2Fb", "ünï", "a b", "a?b#c", "'\"<>", "x" * 500]
    calm.put_words(dict.fromkeys(keys, "here"))
    for key in keys:
        for asked in ("a", "b"):
            path = "".join(f"%{byte:02X}" for byte in key.encode())
            assert get(calm, asked, f"/v1/words/{path}").json()["key"] == key.encode().hex()


def test_a_routed_question_goes_no_further_and_hears_whom_to_ask(calm: World) -> None:
    word = word_in(calm, 3)
    document = problem(get(calm, "a", f"/v1/words/{word}", **{ROUTED_HEADER: "b;7"}), 421, "not-owner")
    assert document["owner"] == "b"
    assert document["address"] == calm.servers["b"].address


def test_two_workers_that_take_each_other_for_the_owner_do_not_send_a_question_round(two: World) -> None:
    two.workers["b"].let_go(3)
    document = problem(get(two, "a", f"/v1/words/{word_in(two, 3)}"), 503, "rebalancing")
    assert document["owner"] == "b"


def test_an_owner_that_the_group_did_not_know_yet_is_found_at_the_second_look(two: World) -> None:
    word = word_in(two, 3)
    assert get(two, "a", f"/v1/words/{word}").json()["meta"]["owner"] == "b"  # a remembers b
    two.workers["b"].let_go(3)
    two.worker("c", [3])
    two.told["b"] = [2]
    assert get(two, "a", f"/v1/words/{word}").json()["meta"]["owner"] == "c"


def test_a_partition_of_nobody_is_an_error_with_the_reason(two: World) -> None:
    two.workers["b"].let_go(3)
    two.told["b"] = [2]
    problem(get(two, "a", f"/v1/words/{word_in(two, 3)}"), 503, "no-owner")


def test_a_worker_that_the_group_names_but_holds_nothing_says_that_it_changes_hands(two: World) -> None:
    two.workers["a"].let_go(0)
    problem(get(two, "a", f"/v1/words/{word_in(two, 0)}"), 503, "rebalancing")


def test_an_owner_that_is_gone_is_named(two: World) -> None:
    two.servers["b"].stop()
    assert problem(get(two, "a", f"/v1/words/{word_in(two, 2)}"), 503, "owner-unreachable")["owner"] == "b"


def test_a_group_that_does_not_answer_leaves_ones_own_partitions_answered(two: World) -> None:
    two.group_is_away = True
    assert get(two, "a", f"/v1/words/{word_in(two, 0)}").status_code == 200
    problem(get(two, "a", f"/v1/words/{word_in(two, 2)}"), 503, "group-unknown")


def test_a_partition_in_mid_restore_shows_its_progress_and_no_row(two: World) -> None:
    two.workers["b"].states[2] = PartitionState.RESTORING
    for asked in ("a", "b"):
        document = problem(get(two, asked, f"/v1/words/{word_in(two, 2)}"), 503, "restoring")
        assert (document["position"], document["end"], document["eta_s"]) == (100, 120, 2.0)


def test_a_worker_that_may_have_lost_a_partition_does_not_speak_for_it(two: World) -> None:
    two.workers["b"].states[2] = PartitionState.STALE
    for asked in ("a", "b"):
        problem(get(two, asked, f"/v1/words/{word_in(two, 2)}"), 503, "stale")


def test_a_worker_that_has_lost_a_partition_asks_the_new_owner(two: World) -> None:
    two.workers["b"].states[2] = PartitionState.STALE
    two.worker("c", [2])
    two.told["b"] = [3]
    assert get(two, "b", f"/v1/words/{word_in(two, 2)}").json()["meta"]["owner"] == "c"


def test_a_partition_that_leaves_during_the_read_is_not_answered_for(two: World) -> None:
    worker = two.workers["a"]
    worker.when_viewed = lambda partition: worker.states.update({partition: PartitionState.STALE})
    problem(get(two, "a", f"/v1/words/{word_in(two, 0)}"), 503, "stale")
    problem(get(two, "a", "/v1/words"), 503, "incomplete")


def test_a_value_that_cannot_be_trusted_is_an_error_and_no_row(two: World) -> None:
    word = word_in(two, 0)
    two.stores[0].apply(WriteSet({"words": {word.encode(): b"\x01garbage"}}), Position(101))
    for asked in ("a", "b"):
        problem(get(two, asked, f"/v1/words/{word}"), 500, "state-unusable")


def test_the_rows_of_one_key_come_in_pages_narrowed_by_parameters(calm: World) -> None:
    partition = calm.directory().partition_of(b"w")
    rows = {b"w\x00" + number.to_bytes(4, "big"): number for number in range(10)}
    calm.put(partition, {"events": {**rows, b"v\x00\x00\x00\x00\x01": -1, b"w2\x00\x00\x00\x00\x01": -1}})
    for asked in ("a", "b"):
        found: list[int] = []
        after = ""
        while True:
            page = get(calm, asked, f"/v1/events/w?from=3&limit=4{after}").json()
            assert [meta["partition"] for meta in page["meta"]] == [partition]
            found += [item["value"]["is"] for item in page["items"]]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert found == [3, 4, 5, 6, 7, 8, 9]


def test_a_key_without_rows_is_an_empty_list_that_its_owner_vouches_for(calm: World) -> None:
    page = get(calm, "a", "/v1/events/nobody").json()
    assert (page["items"], page["next"]) == ([], None)
    assert page["meta"][0]["complete"] is True


def test_rows_of_a_restoring_partition_are_a_503(two: World) -> None:
    partition = two.directory().partition_of(b"w")
    for worker in two.workers.values():
        if partition in worker.states:
            worker.states[partition] = PartitionState.RESTORING
    for asked in ("a", "b"):
        problem(get(two, asked, "/v1/events/w"), 503, "restoring")
