"""What each scope lets ask, of every worker: cell by cell, by any way that a question goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline.query.application import application
from pipeline.query.credentials import Credentials
from pipeline.query.gate import NEEDED, behind_the_gate
from pipeline.query.problems import FORMS
from pipeline.query.rights import Reading, Right, parse_scope, rights_of
from pipeline.query.wire import SKEW_PATH
from pipeline.runtime.view import PartitionState
from pipeline.settings import Settings
from pipeline.state.api import Position, WriteSet
from pipeline.state.envelope import seal
from pipeline.state.memory import MemoryStore
from tests.support.identities import Issuer, Tokens, bearer
from tests.support.web import http
from tests.unit.query.world import STAGE, Plain, World, identity, tables, world

PARTITIONS = 4
WORDS = {**{f"press-{number}": number for number in range(12)}, **{f"lathe-{number}": number for number in range(12)}}

SCOPES = {
    "nothing": (),
    "status": ("status",),
    "metrics": ("metrics",),
    "verify": ("verify",),
    "checkpoint": ("checkpoint",),
    "words": ("read:words",),
    "events": ("read:events",),
    "all tables": ("read:*",),
    "presses": ("read:words:press-",),
    "presses everywhere": ("read:*:press-",),
    "one press": ("read:words:press-1",),
    "both kinds": ("read:words:press-", "read:words:lathe-"),
}

_ALL = {"words", "all tables"}
_PRESS_1 = {"words", "all tables", "presses", "presses everywhere", "one press", "both kinds"}
_PRESSES = {"words", "all tables", "presses", "presses everywhere", "both kinds"}
_LATHES = {"words", "all tables", "both kinds"}

ROUTES: dict[str, set[str]] = {
    "/healthz": set(SCOPES),
    "/readyz": set(SCOPES),
    "/metrics": {"metrics"},
    "/v1/status": {"status"},
    "/v1/status?all=true": {"status"},
    "/v1/skew": {"words", "events", "all tables"},
    "/v1/skew?prefix=": {"words", "events", "all tables"},
    "/v1/skew?all=true": {"words", "events", "all tables"},
    "/v1/skew?prefix=press-": _PRESSES | {"events"},
    "/v1/skew?prefix=press-&all=true": _PRESSES | {"events"},
    "/v1/skew?prefix=press-1&limit=1": _PRESS_1 | {"events"},
    "/v1/skew?prefix=lathe-": _LATHES | {"events"},
    "/v1/skew?prefix=press-&prefix=lathe-": {"words", "events", "all tables"},
    "/v1/verify": {"verify"},
    "/v1/verify?partitions=0": {"verify"},
    "/v1/checkpoint/0": {"checkpoint"},
    "/v1/words": _ALL,
    "/v1/words?prefix=": _ALL,
    "/v1/words?prefix=press": _ALL,
    "/v1/words?prefix=press-": _PRESSES,
    "/v1/words?prefix=press%252D": _PRESSES,
    "/v1/words?prefix=press-1": _PRESS_1,
    "/v1/words?prefix=lathe-": _LATHES,
    "/v1/words?prefix=press-&prefix=lathe-": _ALL,
    "/v1/words?Prefix=press-": _ALL,
    "/v1/words?after=press-&limit=5": _ALL,
    "/v1/words?prefix=press-&after=lathe-": _PRESSES,
    "/v1/words?prefix=press-&partial=true": _PRESSES,
    "/v1/words?standby=true": _ALL,
    "/v1/words?prefix=press-&standby=true": _PRESSES,
    "/v1/words/press-1": _PRESS_1,
    "/v1/words/press-11": _PRESS_1,
    "/v1/words/press-2": _PRESSES,
    "/v1/words/press%2D2": _PRESSES,
    "/v1/words/press-2?view=bare": _PRESSES,
    "/v1/words/press-2?standby=true": _PRESSES,
    "/v1/words/lathe-2": _LATHES,
    "/v1/words/lathe-2?prefix=press-": _LATHES,
    "/v1/words/never": _ALL,
    "/v1/words/press-never": _PRESSES,
    "/v1/words/Press-2": _ALL,
    "/v1/words/press-2/": _PRESSES,
    "/v1/words/": _ALL,
    "/v1/events": {"events", "all tables"},
    "/v1/events?prefix=press-": {"events", "all tables", "presses everywhere"},
    "/v1/events/press-2": {"events", "all tables", "presses everywhere"},
    "/v1/events/press-2?standby=true": {"events", "all tables", "presses everywhere"},
    "/v1/events/lathe-2?standby=true": {"events", "all tables"},
    "/v1/events/lathe-2": {"events", "all tables"},
    "/v1/notes": {"all tables"},
    "/v1/no-such-table": {"all tables"},
    "/v1/no-such-table/press-2": {"all tables"},
}
"""By address, to whom it is told; to whom not, whatever is there."""


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Tokens by what they let ask, and what knows them."""
    tokens = Tokens(tmp_path_factory.mktemp("tokens"))
    issuer = Issuer(tokens.path.parent, ec.generate_private_key(ec.SECP256R1()), "ES256")
    found = {name: tokens.give(name.replace(" ", "-"), *scopes) for name, scopes in SCOPES.items() if scopes}
    found["nothing"] = issuer.sign(issuer.claims(scope="openid profile read: read:words: STATUS everything"))
    settings = issuer.settings.model_copy(update={"http_tokens_file": tokens.path})
    return {"tokens": found, "credentials": Credentials.of(settings), "issuer": issuer}


@pytest.fixture(scope="module")
def guarded(held: dict[str, Any]) -> Iterator[World]:
    with world(PARTITIONS, credentials=held["credentials"]) as one:
        one.worker("a", [0, 1])
        one.worker("b", [2, 3])
        one.put_words(WORDS)
        yield one


def ask(one: World, held: dict[str, Any], who: str, target: str, worker: str = "a") -> httpx.Response:
    return http.get(one.url(worker, target), headers=bearer(held["tokens"][who]))


@pytest.mark.parametrize("worker", ["a", "b"])
@pytest.mark.parametrize("route", ROUTES)
def test_each_scope_lets_ask_what_it_says(guarded: World, held: dict[str, Any], route: str, worker: str) -> None:
    """Whichever worker is asked, and so with the question passed on or not."""
    found = {who for who in SCOPES if ask(guarded, held, who, route, worker).status_code not in {401, 403}}
    assert found == ROUTES[route]


def test_the_table_has_a_row_that_is_allowed_and_one_that_is_denied_for_each_scope() -> None:
    assert all(any(who in allowed for allowed in ROUTES.values()) for who in SCOPES)
    asked = {route for route in ROUTES if route not in {"/healthz", "/readyz"}}
    assert all(any(who not in ROUTES[route] for route in asked) for who in SCOPES)


def test_what_is_denied_is_said_alike_whether_it_is_there_or_not(guarded: World, held: dict[str, Any]) -> None:
    texts = set()
    for key in ("lathe-2", "lathe-never", "%00", "x" * 200):
        answer = ask(guarded, held, "presses", f"/v1/words/{key}")
        assert answer.status_code == 403
        texts.add(answer.text)
    assert len(texts) == 1
    there, not_there = (ask(guarded, held, "presses", f"/v1/{table}").text for table in ("events", "evenly"))
    assert there.replace("events", "evenly") == not_there


def test_who_was_denied_what_is_in_the_log(
    guarded: World, held: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    ask(guarded, held, "presses", "/v1/words/lathe-2")
    ask(guarded, held, "presses", "/v1/status")
    told = capsys.readouterr()
    text = told.out + told.err
    assert text.count("a question is denied") == 2
    assert all(each in text for each in ("presses", "/v1/words/lathe-2", "read:words", "/v1/status"))
    assert held["tokens"]["presses"] not in text


def test_who_was_refused_is_counted_by_status_and_reason(held: dict[str, Any]) -> None:
    """By whichever layer refuses; what nobody was refused for yet is there, at zero."""
    with world(1, credentials=held["credentials"]) as one:
        one.worker("a", [0])
        assert {*one.problems.values()} == {0}
        assert one.problems.keys() == {(form.status, kind) for kind, form in FORMS.items()}
        address = one.url("a", "/v1/words/x")
        assert http.get(address).status_code == 401
        assert http.get(address).status_code == 401
        assert http.get(one.url("a", "/metrics"), headers=bearer(held["tokens"]["status"])).status_code == 403
        assert http.post(address).status_code == 405
        assert +one.problems == {(401, "unauthenticated"): 2, (403, "forbidden"): 1, (405, "method-not-allowed"): 1}


def test_a_list_within_a_prefix_has_its_rows_and_no_others(guarded: World, held: dict[str, Any]) -> None:
    """Page by page, also from a cursor that lies outside."""
    presses = sorted(word for word in WORDS if word.startswith("press-"))
    for after in ("", "&after=", "&after=lathe-0", "&after=%2525", "&after=press"):
        found, cursor = [], after
        while True:
            page = ask(guarded, held, "presses", f"/v1/words?prefix=press-&limit=5{cursor}").json()
            found += [bytes.fromhex(item["key"]).decode() for item in page["items"]]
            if page["next"] is None:
                break
            assert page["next"].startswith("press-")
            cursor = f"&after={page['next']}"
        assert found == presses
    beyond = ask(guarded, held, "presses", "/v1/words?prefix=press-&after=press-~").json()
    assert (beyond["items"], beyond["next"]) == ([], None)


def test_a_question_passed_on_has_the_rights_of_who_asked(guarded: World, held: dict[str, Any]) -> None:
    """The peer looks for itself, by the token that the asker showed: a worker that let it through changes nothing."""
    partition = guarded.directory().partition_of
    there = next(word for word in WORDS if partition(word.encode()) >= 2)
    assert ask(guarded, held, "words", f"/v1/words/{there}", "a").json()["meta"]["owner"] == "b"
    with world(PARTITIONS) as trusting:
        # `c` asks nobody for a token, so it also passes on none; `b` is told to be its peer.
        trusting.worker("c", [])
        trusting.servers["b"] = guarded.servers["b"]
        trusting.told["b"] = [0, 1, 2, 3]
        try:
            assert http.get(trusting.url("c", f"/v1/words/{there}")).status_code == 401
            assert (
                http.get(trusting.url("c", f"/v1/words/{there}"), headers=bearer(held["tokens"]["words"])).status_code
                == 401
            )
            listed = http.get(trusting.url("c", "/v1/words"))
            assert (listed.status_code, listed.json()["type"].rpartition(":")[2]) == (503, "incomplete")
            assert {
                row["state"] for row in http.get(trusting.url("c", "/v1/status?all=true")).json()["partitions"]
            } == {"unreachable"}
        finally:
            del trusting.servers["b"]


@pytest.mark.parametrize("worker", ["a", "b"])
def test_a_list_gathers_from_all_workers_with_the_askers_token(
    guarded: World, held: dict[str, Any], worker: str
) -> None:
    page = ask(guarded, held, "words", "/v1/words?limit=100", worker).json()
    assert len(page["items"]) == len(WORDS)
    assert {meta["owner"] for meta in page["meta"]} == {"a", "b"}
    rows = ask(guarded, held, "status", "/v1/status?all=true", worker).json()["partitions"]
    assert {(row["owner"], row["state"]) for row in rows} == {("a", "active"), ("b", "active")}


def test_hot_keys_are_gathered_with_the_askers_token(guarded: World, held: dict[str, Any]) -> None:
    """Each worker looks at it again: none shows keys beyond the prefix, and a peer that refuses is named."""
    report = ask(guarded, held, "presses", "/v1/skew?all=true&prefix=press-").json()
    assert ([row["owner"] for row in report["partitions"]], report["silent"]) == (["a", "a", "b", "b"], [])
    with world(PARTITIONS) as trusting:
        trusting.worker("c", [])
        trusting.servers["b"] = guarded.servers["b"]
        trusting.told["b"] = [0, 1, 2, 3]
        try:
            report = http.get(trusting.url("c", "/v1/skew?all=true")).json()
        finally:
            del trusting.servers["b"]
    assert report["partitions"] == []
    assert report["silent"] == [{"owner": "b", "reason": "a token is needed here"}]


@pytest.mark.parametrize("header", ["statelog-routed-by", "Statelog-Routed-By"])
def test_who_poses_as_a_worker_gets_no_more(guarded: World, held: dict[str, Any], header: str) -> None:
    for target in ("/v1/words?partitions=0,1", "/v1/words?prefix=lathe-&partitions=0,1", "/v1/words/lathe-2"):
        headers = {**bearer(held["tokens"]["presses"]), header: "b;7"}
        assert http.get(guarded.url("a", target), headers=headers).status_code == 403


def test_probes_say_yes_or_no_and_why_to_those_who_may_know(guarded: World, held: dict[str, Any]) -> None:
    worker = guarded.workers["a"]
    why = "partition 1 is being restored: at 4711 of 9000"
    worker.readiness = (False, why)
    try:
        for headers in ({}, bearer("forged"), bearer(held["tokens"]["words"])):
            answer = http.get(guarded.url("a", "/readyz"), headers=headers)
            assert answer.status_code == 503
            assert "4711" not in answer.text
            assert "partition" not in answer.text
        assert ask(guarded, held, "status", "/readyz").json()["detail"] == why
    finally:
        worker.readiness = (True, "")


def test_a_json_web_token_has_the_rights_that_its_scope_says(guarded: World, held: dict[str, Any]) -> None:
    issuer: Issuer = held["issuer"]
    for scope in ("openid read:words:press-", ["openid", "read:words:press-"]):
        headers = bearer(issuer.sign(issuer.claims(scope=scope)))  # type: ignore[arg-type]
        assert http.get(guarded.url("a", "/v1/words/press-2"), headers=headers).status_code == 200
        assert http.get(guarded.url("a", "/v1/words/lathe-2"), headers=headers).status_code == 403
    for nonsense in (None, 7, {"read:*": True}, [["read:*"]]):
        headers = bearer(issuer.sign(issuer.claims(scope=nonsense)))  # type: ignore[arg-type]
        assert http.get(guarded.url("a", "/v1/words/press-2"), headers=headers).status_code == 403


def test_a_route_that_nobody_has_thought_of_does_not_start(guarded: World) -> None:
    routes = [route.path for route in _routes(guarded)]
    assert {path for path in routes if not path.startswith("/v1/{table}")} == {*NEEDED, SKEW_PATH}
    route = _routes(guarded)[0]
    route.path = "/v1/everything"
    with pytest.raises(KeyError):
        behind_the_gate(route, STAGE)


def _routes(one: World) -> list[Any]:
    from prometheus_client import CollectorRegistry

    from pipeline.query.upstream import Upstream
    from tests.unit.query.world import donate, verify

    worker = one.workers["a"]
    upstream = Upstream(worker.topology, worker.stage, one.partitions, "", one.log.admin(), one.log.reader)
    return list(application(worker, one.directory(), upstream, verify, donate, CollectorRegistry()).routes)


# The words


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        *[(right.value, right) for right in Right],
        ("read:words", Reading("words")),
        ("read:*", Reading("*")),
        ("read:words:press-", Reading("words", b"press-")),
        ("read:words:a:b", Reading("words", b"a:b")),
        ("read:words:a%00%ff", Reading("words", b"a\0\xff")),
        ("read:*:press-", Reading("*", b"press-")),
    ],
)
def test_a_scope_is_read(word: str, meaning: Right | Reading) -> None:
    assert parse_scope(word) == meaning


@pytest.mark.parametrize(
    "word",
    ["", "read", "read:", "read::", "read::x", "read:words:", "read:wor ds", "read:words:a b", "read:words:é",
     "READ:words", "Status", "status ", "write:words", "*", "read:words,events", "read:**", "read:../words"],
)  # fmt: skip
def test_what_is_no_scope_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is not a valid Right"):
        parse_scope(word)


def test_a_prefix_never_covers_what_is_shorter_or_beside() -> None:
    words = ["", "p", "press", "press-", "press-1", "press-12", "lathe-", "P", "press_"]
    for granted, asked in product(words[3:6], words):
        assert rights_of([f"read:t:{granted}"]).may_read("t", asked.encode()) is asked.startswith(granted)
        assert not rights_of([f"read:t:{granted}"]).may_read("u", asked.encode())


def test_a_standby_answers_within_the_rights_of_who_asked(guarded: World, held: dict[str, Any]) -> None:
    """The owner is in mid-restore, so the question goes on to a standby, which looks at the token again."""
    word = next(word for word in WORDS if guarded.directory().partition_of(word.encode()) == 2 and "press" in word)
    guarded.workers["b"].states[2] = PartitionState.RESTORING
    standby = MemoryStore(identity(2), list(tables()))
    standby.apply(WriteSet({"words": {word.encode(): seal(Plain().encode(1))}}), Position(100, {"words": 7}))
    guarded.workers["a"].kept[2] = standby
    try:
        for worker in ("a", "b"):
            answer = ask(guarded, held, "presses", f"/v1/words/{word}?standby=true", worker)
            assert (answer.status_code, answer.json()["meta"]["served_by"]) == (200, "standby")
            assert ask(guarded, held, "events", f"/v1/words/{word}?standby=true", worker).status_code == 403
            assert ask(guarded, held, "events", f"/v1/words/{word}?standby=only", worker).status_code == 403
    finally:
        guarded.workers["b"].states[2] = PartitionState.ACTIVE
        del guarded.workers["a"].kept[2]


def test_settings_without_tokens_let_anyone_ask() -> None:
    assert Credentials.of(Settings()) is None


def test_tokens_are_in_no_answer(guarded: World, held: dict[str, Any], tmp_path: Path) -> None:
    for route, who in product(ROUTES, ("all tables", "presses", "metrics", "status")):
        answer = ask(guarded, held, who, route)
        assert held["tokens"][who] not in answer.text
        assert held["tokens"][who] not in json.dumps(dict(answer.headers))
