"""What the console answers, and to whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from pipeline.console.controls import TOKEN_HEADER, Busy
from pipeline.console.sampling import Rates
from pipeline.console.serving import console_on
from pipeline.errors import Misconfigured
from pipeline.runtime.view import PartitionState
from pipeline.settings import Settings
from tests.console.ground import Ground, console
from tests.support.waiting import eventually
from tests.unit.query.world import TOPOLOGY


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with console() as one:
        one.world.put_words({"press-07": 1, "press-08": 2})
        yield one


class Buttons:
    """Notes what is ordered."""

    def __init__(self) -> None:
        self.ordered: list[tuple[str, str]] = []
        self.busy = False

    def shown(self) -> Mapping[str, Any]:
        return {"workers": ["a"], "ready": True, "running": False, "experiment": None}

    def order(self, action: str, worker: str) -> None:
        if self.busy:
            raise Busy("one thing at a time")
        if worker != "a":
            raise ValueError(f"no worker is named {worker!r}")
        self.ordered.append((action, worker))


def get(ground: Ground, path: str, **headers: str) -> httpx.Response:
    return httpx.get(ground.url + path, headers=headers, timeout=60)


@pytest.mark.parametrize("path", ["", "assets/main.js", "api/topology", "assets/none", "api/row/none?key=x"])
def test_every_answer_lets_the_page_load_itself_alone(ground: Ground, path: str) -> None:
    headers = get(ground, path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


def test_the_page_has_no_script_or_style_of_its_own_and_no_address_but_its_own(ground: Ground) -> None:
    page = get(ground, "").text
    assert 'src="/assets/main.js"' in page
    for forbidden in ("<script>", "<style", "style=", "onclick", "http://", "https://"):
        assert forbidden not in page


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "10.0.0.1:80"])
def test_who_comes_by_another_name_is_turned_away(ground: Ground, host: str) -> None:
    answer = get(ground, "api/topology", host=host)
    assert answer.status_code == 403
    assert "token" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1:1", "[::1]:80"])
def test_a_port_that_is_forwarded_from_elsewhere_is_no_other_name(ground: Ground, host: str) -> None:
    assert get(ground, "api/topology", host=host).status_code == 200


@pytest.mark.parametrize("name", ["..%2fassets.py", "%2e%2e/assets.py", "/etc/passwd", "assets.py", "index.html%00"])
def test_no_name_leads_out_of_the_page_s_own_files(ground: Ground, name: str) -> None:
    answer = get(ground, f"assets/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_console_without_buttons_takes_no_orders(ground: Ground) -> None:
    assert httpx.post(ground.url + "api/order/kill?worker=a", timeout=60).status_code == 405
    assert get(ground, "api/topology").json()["token"] is None


def test_orders_come_from_the_page_alone() -> None:
    buttons = Buttons()
    with console(buttons) as ground:
        origin = ground.url.rstrip("/")
        token = get(ground, "api/topology").json()["token"]

        def order(worker: str = "a", **headers: str) -> int:
            path = f"{ground.url}api/order/kill?worker={worker}"
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            return httpx.post(path, headers=given, timeout=60).status_code

        good = {"origin": origin, TOKEN_HEADER.replace("-", "_"): token}
        refused = [
            order(),
            order(origin=origin),
            order(**{**good, "origin": "http://evil.example"}),
            order(**{**good, "origin": "null"}),
            order(**{**good, "sec_fetch_site": "cross-site"}),
            order(**{**good, "sec_fetch_site": "same-site"}),
            order(**{**good, TOKEN_HEADER.replace("-", "_"): "x" * len(token)}),
            order(**{TOKEN_HEADER.replace("-", "_"): token}),
        ]
        assert refused == [403] * len(refused)
        assert httpx.get(f"{ground.url}api/order/kill?worker=a", timeout=60).status_code == 405
        assert buttons.ordered == []
        assert order("x", **good) == 400
        assert order(**good) == 202
        assert buttons.ordered == [("kill", "a")]
        buttons.busy = True
        assert order(**good) == 503


def test_one_sample_is_for_all_who_watch_and_none_is_taken_for_nobody(ground: Ground) -> None:
    eventually(lambda: ground.viewers() == 0, "nobody watches")
    with httpx.Client(timeout=60) as client:
        first, second = (client.send(client.build_request("GET", ground.url + "api/samples"), stream=True)
                         for _ in range(2))  # fmt: skip
        assert first.headers["content-type"].startswith("text/event-stream")
        eventually(lambda: ground.viewers() == 2, "both watch")
        lines = [answer.iter_lines() for answer in (first, second)]  # given up, they would close what they read
        for each in lines:
            while not (line := next(each)).startswith("data:"):
                pass
            assert '"partitions"' in line
        first.close()
        eventually(lambda: ground.viewers() == 1, "one has left")
        taken = len(ground.samples)
        eventually(lambda: len(ground.samples) > taken, "the other goes on")
        second.close()
        eventually(lambda: ground.viewers() == 0, "both have left")
    settled: list[int] = [-1, len(ground.samples)]

    def still() -> bool:
        settled.append(len(ground.samples))
        return settled[-1] == settled[-2]

    # One may have been under way; after that there is no more.
    eventually(still, "no sample is taken", pause_s=2.5)


def test_a_row_is_given_or_refused_with_its_reason(ground: Ground) -> None:
    assert get(ground, "api/row/words?key=press-07").json()["value"] == {"is": 1}
    assert get(ground, "api/row/words?key=press-07&view=bare").json()["value"] == 1
    for path, status, kind in (
        ("api/row/words?key=none", 404, "no-such-row"),
        ("api/row/words", 400, "bad-parameter"),
        ("api/row/words?key=x&kee=y", 400, "bad-parameter"),
        ("api/row/words?key=x&view=none", 400, "bad-request"),
        ("api/row/nothing?key=x", 404, "unknown-table"),
        ("api/rows/events?key=w&from=none", 400, "bad-request"),
        ("api/dead-letter?id=x", 400, "bad-request"),
        ("api/dead-letter?id=9:1", 400, "bad-request"),
        ("api/dead-letter?id=0:999999", 404, "no-such-row"),
    ):
        answer = get(ground, path)
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, kind), path


def test_keys_are_suggested_by_how_they_begin(ground: Ground) -> None:
    assert len(get(ground, "api/keys/words?prefix=press-").json()) == 2
    assert get(ground, "api/keys/words?prefix=pump-").json() == []


def test_what_is_being_restored_says_so(ground: Ground) -> None:
    partition = ground.world.directory().partition_of(b"press-07")
    worker = ground.world.workers["a" if partition < 2 else "b"]
    worker.states[partition] = PartitionState.RESTORING
    try:
        answer = get(ground, "api/row/words?key=press-07")
        assert answer.status_code == 503
        assert answer.json()["type"].endswith(":unavailable")
        assert "restored" in answer.json()["detail"]
        assert answer.json()["eta_s"] == 2.0
    finally:
        worker.states[partition] = PartitionState.ACTIVE


def test_only_the_newest_dead_letters_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.console.letters.NEWEST", 10)
    with console() as ground:
        ground.refuse(*(b"%d" % number for number in range(30)), key=b"same")
        found = get(ground, "api/dead-letters").json()
        assert found["partial"]
        assert 0 < found["read"] <= 10
        newest = max(found["letters"], key=lambda letter: letter["time"])
        assert get(ground, f"api/dead-letter?id={newest['id']}").json()["text"] == "29"
        ground.refuse(b"later", reason="future")
        assert get(ground, "api/dead-letters").json()["reasons"]["future"] == 1, "what was read is not kept too long"
        chosen = get(ground, "api/dead-letters?reason=future").json()
        assert [letter["reason"] for letter in chosen["letters"]] == ["future"]


def test_a_message_is_shown_as_text_or_as_a_hex_dump(ground: Ground) -> None:
    texts = [b"{}", "caf\u00e9".encode(), b"\xff\x00", b"a\x1b[2Jb", "a\u202eb".encode(), b"", None]
    ground.refuse(*texts, key=b"one")
    letters = get(ground, "api/dead-letters").json()["letters"]
    found = {}
    for letter in letters:
        whole = get(ground, f"api/dead-letter?id={letter['id']}").json()
        found[letter["time"] - 1_700_000_000_000] = (whole["text"], whole["hex"] and whole["hex"][:13])
    assert found == {
        0: ("{}", None),
        1: ("caf\u00e9", None),
        2: (None, "00000000  ff "),
        3: (None, "00000000  61 "),
        4: (None, "00000000  61 "),
        5: (None, ""),
        6: (None, ""),
    }


def test_a_console_is_for_this_machine_alone() -> None:
    settings = Settings(bootstrap_servers="127.0.0.1:1")
    with (
        pytest.raises(Misconfigured, match="can be reached from other machines"),
        console_on(settings, TOPOLOGY, "0.0.0.0:0"),
    ):
        pass


def test_rates_are_means_and_unknown_at_first() -> None:
    now = [0.0]
    rates = Rates(lambda: now[0])
    assert rates.of({"x": 100}) == {"x": None}
    now[0] = 1.0
    assert rates.of({"x": 300, "new": 5}) == {"x": 200.0, "new": None}
    now[0] = 5.0
    assert rates.of({"x": 700, "new": 5}) == {"x": 100.0, "new": 0.0}
    assert rates.of({"x": 1}) == {"x": None}, "a topic made anew has no negative rate"
    now[0] = 100.0
    assert rates.of({"x": 900}) == {"x": None}, "nothing is said of a time when nobody watched"
