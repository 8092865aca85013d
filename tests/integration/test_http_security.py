"""Two workers that are asked over TLS, by those alone who show a token: each way of a question, and a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.client import Client, Refused
from pipeline.errors import ExitCode
from pipeline.query.outgoing import Outgoing
from pipeline.runtime.view import PartitionState
from tests.oracle import Parameters, recount
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.command_run import running
from tests.support.exactness import assert_tables
from tests.support.identities import HOST, Certificates, Tokens, bearer
from tests.support.readings import for_the_oracle, readings
from tests.support.standbys import wait_until_caught_up
from tests.support.waiting import eventually
from tests.support.web import first_sample, http
from tests.support.worker_process import WorkerProcess

PARTITIONS = 2
DEVICES = 60_000
"""So that a checkpoint is worth it for either partition."""
HUNDRED = "device-0000"
"""What a hundred devices begin with."""

pytestmark = pytest.mark.timeout(900)


class Secured:
    """A cluster whose workers want TLS and tokens, and those who have one."""

    def __init__(self, cluster: Cluster, certificates: Certificates, tokens: Tokens) -> None:
        self.cluster = cluster
        self.ca_file = certificates.ca_file
        self.peers = tokens.file_of("peers", "status", "checkpoint")
        self.no_peer = tokens.file_of("no-peer", "read:*")
        self.operator = tokens.file_of("operator", "read:*", "status", "verify")
        self.dashboard = tokens.file_of("dashboard", f"read:device-state:{HUNDRED}", f"read:device-windows:{HUNDRED}")
        # The cluster's own questions, of tests: its workers do not get this.
        cluster.settings = cluster.settings.model_copy(update={"http_token_file": self.operator})

    def start(self, worker_id: str, token: Path, **options: Any) -> WorkerProcess:
        return self.cluster.start("aggregate", worker_id, user={"http_token_file": token}, **options)

    def ask(self, worker_id: str, target: str, token: Path | None) -> httpx.Response:
        """One worker."""
        address = self.cluster.addresses("aggregate")[worker_id]
        outgoing = Outgoing.of(self.cluster.settings.model_copy(update={"http_token_file": None}))
        with outgoing.client(httpx.Timeout(30)) as http:
            headers = bearer(token.read_text().strip()) if token else {}
            return http.get(outgoing.url(address, target), headers=headers)

    def command(self, *arguments: str, token: Path | None) -> tuple[int, list[dict[str, Any]], str]:
        """Its exit code, what it printed as JSON, and what it said."""
        flags = ["--token-file", str(token)] if token else []
        done = self.cluster.command(*arguments, *flags, "--http-ca-file", str(self.ca_file), "--json")
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    def secrets(self) -> list[str]:
        return [each.read_text().strip() for each in (self.peers, self.no_peer, self.operator, self.dashboard)]


@pytest.fixture(scope="module")
def secured(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Two workers, one of them open to the network, each with a partition and a standby of the other's."""
    directory = tmp_path_factory.mktemp("secured")
    certificates, tokens = Certificates(directory), Tokens(directory)
    with Cluster(kafka.bootstrap_servers, f"{directory.name}-", directory, partitions=PARTITIONS, standby_replicas=1,
                 session_timeout_ms=40_000, transaction_timeout_ms=9_000, http_tokens_file=tokens.path,
                 **certificates.of("worker")) as cluster:  # fmt: skip
        secured = Secured(cluster, certificates, tokens)
        secured.start("a0", secured.peers)
        secured.start("a1", secured.peers, http="0.0.0.0:0", advertise=f"{HOST}:0")
        cluster.wait_until_shared("aggregate", "a0", "a1")
        cluster.send("readings", readings(DEVICES, 1))
        cluster.send("readings", readings(20, 5, first_round=1))  # windows that close
        cluster.drain()
        yield secured
        for process in cluster.workers:
            for secret in secured.secrets():
                assert secret not in process.text()


def test_every_worker_answers_for_every_device_by_the_askers_token(secured: Secured) -> None:
    """In one hop where it is not the owner."""
    for worker in ("a0", "a1"):
        known = [f"/v1/device-state/{HUNDRED}{number:02}" for number in range(20)]
        found = [secured.ask(worker, each, secured.dashboard) for each in known]
        assert {answer.status_code for answer in found} == {200}
        assert {answer.json()["meta"]["owner"] for answer in found} == {"a0", "a1"}
        others = [f"/v1/device-state/device-0001{number:02}" for number in range(8)]
        denied = [secured.ask(worker, other, secured.dashboard) for other in others]
        assert {answer.status_code for answer in denied} == {403}
        unknown = [secured.ask(worker, each, None) for each in known]
        assert {answer.status_code for answer in unknown} == {401}


def test_a_list_gathers_within_the_prefix_and_not_beyond(secured: Secured) -> None:
    for worker in ("a0", "a1"):
        page = secured.ask(worker, f"/v1/device-state?prefix={HUNDRED}&limit=1000", secured.dashboard).json()
        assert [item["key"] for item in page["items"]] == [f"{HUNDRED}{number:02}" for number in range(100)]
        assert {meta["owner"] for meta in page["meta"]} == {"a0", "a1"}
        for beyond in ("", "?prefix=device-", "?prefix=device-0001", f"?after={HUNDRED}00/0"):
            assert secured.ask(worker, f"/v1/device-state{beyond}", secured.dashboard).status_code == 403


def test_a_worker_over_tls_says_nothing_in_the_clear(secured: Secured) -> None:
    for worker, address in secured.cluster.addresses("aggregate").items():
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://{address}/healthz", timeout=30)
        assert secured.ask(worker, "/readyz", None).status_code == 200


COMMANDS = {
    "get": (["get", f"{HUNDRED}07"], 1),
    "scan": (["scan", "--prefix", HUNDRED, "--limit", "0"], 100),
    "windows": (["windows", f"{HUNDRED}07"], 1),
    "status": (["status"], PARTITIONS),
    "verify": (["verify"], PARTITIONS + 1),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_works_with_its_token_and_says_what_it_lacks(secured: Secured, name: str) -> None:
    arguments, lines = COMMANDS[name]
    code, told, said = secured.command(*arguments, token=secured.operator)
    assert (code, len(told)) == (0, lines), said
    code, told, said = secured.command(*arguments, token=None)
    assert (code, told) == (ExitCode.FAILURE, [])
    assert "a token is needed here" in said
    if name in {"status", "verify"}:
        code, told, said = secured.command(*arguments, token=secured.dashboard)
        assert (code, told) == (ExitCode.FAILURE, [])
        assert f"does not have the scope {name}" in said


@contextmanager
def console(secured: Secured, directory: Path, token: Path | None) -> Iterator[str]:
    """The address of a console that shows workers this token."""
    directory.mkdir()
    shown = ["--token-file", str(token)] if token else []
    with running(directory, "console", "--json", "--http", "127.0.0.1:0", "--prefix", secured.cluster.settings.prefix,
                 "--http-ca-file", str(secured.ca_file), *shown,
                 bootstrap_servers=secured.cluster.settings.bootstrap_servers) as command:  # fmt: skip
        command.until_told("console")
        yield command.told("console")
    assert not [secret for secret in secured.secrets() if secret in command.text]
    assert "Traceback" not in command.text


def test_the_console_shows_workers_that_ask_for_tokens(secured: Secured, tmp_path: Path) -> None:
    with console(secured, tmp_path / "operator", secured.operator) as url:
        sample = first_sample(url)
        assert sample["trouble"] == []
        assert {row["owner"] for row in sample["partitions"]} == {"a0", "a1"}
        assert {row["state"] for row in sample["partitions"]} == {PartitionState.ACTIVE}
        assert all(row["standbys"] for row in sample["partitions"])
        row = http.get(f"{url}api/row/device-state", params={"key": f"{HUNDRED}07"}).json()
        assert row["value"]["readings"] > 1
        windows = http.get(f"{url}api/rows/device-windows", params={"key": f"{HUNDRED}07"}).json()
        assert len(windows["items"]) == 1
        keys = http.get(f"{url}api/keys/device-state", params={"prefix": f"{HUNDRED}0"}).json()
        assert keys == [f"{HUNDRED}0{number}" for number in range(8)]


def test_a_console_without_the_right_says_what_it_lacks_and_shows_what_kafka_tells(
    secured: Secured, tmp_path: Path
) -> None:
    with console(secured, tmp_path / "nobody", None) as url:
        sample = first_sample(url)
        assert "a token is needed here" in " ".join(sample["trouble"])
        assert {each["id"] for each in sample["stages"]["aggregate"]["workers"]} == {"a0", "a1"}
        answer = http.get(f"{url}api/row/device-state", params={"key": f"{HUNDRED}07"})
        assert "a token is needed here" in answer.json()["detail"]
        assert "value" not in answer.json()
    with console(secured, tmp_path / "dashboard", secured.dashboard) as url:
        assert "does not have the scope status" in " ".join(first_sample(url)["trouble"])
        within = http.get(f"{url}api/row/device-state", params={"key": f"{HUNDRED}07"})
        assert within.json()["key"] == f"{HUNDRED}07"
        beyond = http.get(f"{url}api/row/device-state", params={"key": "device-000100"})
        assert "does not let read this of device-state" in beyond.json()["detail"]
        assert "value" not in beyond.json()


def test_a_client_of_one_worker_reaches_all(secured: Secured) -> None:
    for address in secured.cluster.addresses("aggregate").values():
        with Client.at(address, settings=secured.cluster.settings) as client:
            found = [client.get("device-state", f"{HUNDRED}{number:02}") for number in range(20)]
            assert {row.meta.owner for row in found if row is not None} == {"a0", "a1"}
        dashboard = secured.cluster.settings.model_copy(update={"http_token_file": secured.dashboard})
        with Client.at(address, settings=dashboard) as client, pytest.raises(Refused, match="does not let read this"):
            client.get("device-state", "device-000100")


def test_a_checkpoint_comes_over_tls_to_who_may_have_it_and_to_nobody_else(
    secured: Secured, figure: Callable[[str], None]
) -> None:
    cluster = secured.cluster
    wait_until_caught_up(cluster)
    owner = cluster.workers[0]
    for token, received in ((secured.peers, True), (secured.no_peer, False)):
        # It comes back within its session, without its disk: its partition is its own again, the standby elsewhere.
        owner.kill()
        cluster.lose_disk("aggregate", "a0")
        owner = secured.start("a0", token)
        eventually(lambda back=owner: bool(back.events("restored")), "its partition is restored")  # type: ignore[misc]
        checkpoints = owner.events("checkpoint received")
        refusals = owner.events("a peer refuses to be asked by this worker")
        restored = owner.events("restored")[0]["records"]
        figure(
            f"a peer {'gave its checkpoint' if received else 'refused it'} over TLS; {restored} records were restored"
        )
        if received:
            assert len(checkpoints) == 1
            assert not refusals
            assert restored <= 1
        else:
            assert not checkpoints
            assert refusals
            why = {(each["worker"], each["reason"]) for each in refusals}
            assert why == {("a1", "the token does not have the scope status")}
            assert restored > DEVICES // PARTITIONS
        cluster.drain()
        wait_until_caught_up(cluster)
    assert_tables(cluster, recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=PARTITIONS)))
    cluster.stop()
