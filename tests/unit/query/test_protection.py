"""Beyond loopback nothing is served without TLS and tokens; over TLS, workers and clients know each other."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from pipeline.client import Client, Refused, Unavailable
from pipeline.errors import Misconfigured
from pipeline.log.api import Member
from pipeline.query.credentials import Credentials
from pipeline.query.directory import Directory
from pipeline.query.outgoing import Outgoing
from pipeline.query.protection import Protection
from pipeline.query.receiving import PeerCheckpoints
from pipeline.service import run_worker
from pipeline.settings import Settings
from tests.support.identities import Certificates, Issuer, Tokens, public_pem
from tests.unit.query.world import World, identity, world

OUTSIDE = ("0.0.0.0:0", "[::]:0", "192.0.2.7:8080", "worker-0.example:8080", "[2001:db8::1]:80", "127.0.0.1.example:80")
INSIDE = (None, "127.0.0.1:0", "127.9.9.9:0", "[::1]:0", "localhost:8080")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls(certificates: Certificates) -> dict[str, Any]:
    return certificates.of("worker")


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path)


@pytest.mark.parametrize(("address", "insecure", "secured"), [*product(OUTSIDE, [False, True], [0, 1, 2, 3])])
def test_beyond_loopback_both_are_needed(
    address: str, insecure: bool, secured: int, tls: dict[str, Any], tokens: Tokens
) -> None:
    """None, TLS, tokens, both."""
    given = {**(tls if secured & 1 else {}), **({"http_tokens_file": tokens.path} if secured & 2 else {})}
    settings = Settings(http=address, http_insecure=insecure, **given)
    if insecure or secured == 3:
        Protection.of(settings)
        return
    with pytest.raises(Misconfigured, match="beyond loopback") as refused:
        Protection.of(settings)
    assert ("STATELOG_HTTP_CERTIFICATE_FILE" in refused.value.hint) is not bool(secured & 1)
    assert ("STATELOG_HTTP_TOKENS_FILE" in refused.value.hint) is not bool(secured & 2)
    assert "--insecure" in refused.value.hint


@pytest.mark.parametrize("address", INSIDE)
def test_on_loopback_nothing_is_needed(address: str | None) -> None:
    assert Protection.of(Settings(http=address)) == (None, None)


@pytest.mark.parametrize("stage", ["transform", "aggregate"])
def test_a_worker_does_not_even_ask_kafka(stage: str) -> None:
    """Neither kind: metrics and health are HTTP as well."""
    settings = Settings(bootstrap_servers="127.0.0.1:1", http="0.0.0.0:0", advertise="worker-0:80")
    with pytest.raises(Misconfigured, match="beyond loopback"):
        run_worker(settings, stage, None)  # type: ignore[arg-type]


def test_an_issuer_will_do_in_place_of_a_file(tls: dict[str, Any], tmp_path: Path) -> None:
    issuer = Issuer(tmp_path, ed25519.Ed25519PrivateKey.generate(), "EdDSA")
    settings = Settings(http="0.0.0.0:0", **tls, **issuer.settings.model_dump(exclude_unset=True))
    credentials = Protection.of(settings).credentials
    assert credentials is not None
    assert credentials.caller(issuer.sign(issuer.claims())) is not None


@pytest.mark.parametrize("left_out", ["http_jwt_key_file", "http_jwt_issuer", "http_jwt_audience"])
def test_half_an_issuer_is_refused(tmp_path: Path, left_out: str) -> None:
    given = Issuer(tmp_path, ed25519.Ed25519PrivateKey.generate(), "EdDSA").settings.model_dump(exclude_unset=True)
    with pytest.raises(Misconfigured, match="need a key, an issuer and an audience"):
        Credentials.of(Settings(**{**given, left_out: None}))


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


BAD_KEYS = {
    "nothing": lambda: b"",
    "no PEM": lambda: b"secret",
    "a broken one": lambda: b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    "a short RSA key": lambda: public_pem(rsa.generate_private_key(65_537, 1_024)),  # noqa: S505 (too short, as it should be)
    "another curve": lambda: public_pem(ec.generate_private_key(ec.SECP384R1())),
    "DSA": lambda: dsa.generate_private_key(2_048).public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    ),
    "a private key": lambda: _private(ec.generate_private_key(ec.SECP256R1())),
    "a private key beside a public one": lambda: (
        public_pem(key := ec.generate_private_key(ec.SECP256R1())) + _private(key)
    ),
}  # fmt: skip


@pytest.mark.parametrize("make", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_a_key_that_is_none_for_this_is_refused(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "keys.pem"
    path.write_bytes(make())
    with pytest.raises(Misconfigured) as refused:
        Credentials.of(Settings(http_jwt_key_file=path, http_jwt_issuer="i", http_jwt_audience="a"))
    assert "PRIVATE" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        (lambda: rsa.generate_private_key(65_537, 2_048), "RS256"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ed25519.Ed25519PrivateKey.generate, "EdDSA"),
    ],
)
def test_each_kind_of_key_checks_its_algorithm_and_an_old_key_goes_on_beside_a_new_one(
    tmp_path: Path, kind: Any, algorithm: str
) -> None:
    old, new = (Issuer(_made(tmp_path / name), kind(), algorithm) for name in ("old", "new"))
    both = tmp_path / "keys.pem"
    both.write_bytes(new.path.read_bytes() + old.path.read_bytes())
    credentials = Credentials.of(new.settings.model_copy(update={"http_jwt_key_file": both}))
    assert credentials is not None
    assert credentials.caller(old.sign(old.claims())) is not None
    assert credentials.caller(new.sign(new.claims())) is not None
    only_new = Credentials.of(new.settings)
    assert only_new is not None
    assert only_new.caller(old.sign(old.claims())) is None
    if algorithm == "RS256":
        new.algorithm = "RS512"
        assert only_new.caller(new.sign(new.claims())) is None, "one algorithm a key"


def _made(path: Path) -> Path:
    path.mkdir()
    return path


# Over TLS


@pytest.fixture
def given(tokens: Tokens) -> dict[str, Path]:
    """Files that each hold a token."""
    return {
        "everything": tokens.file_of("everything", "read:*", "status", "verify"),
        "reader": tokens.file_of("reader", "read:*"),
        "peers": tokens.file_of("peers", "status", "checkpoint"),
    }


@pytest.fixture
def guarded(tls: dict[str, Any], tokens: Tokens, given: dict[str, Path]) -> Iterator[World]:
    """Two workers over TLS that know tokens."""
    settings = Settings(**tls, http_tokens_file=tokens.path)
    protection = Protection.of(settings)
    with world(4, credentials=protection.credentials, outgoing=Outgoing.of(settings), tls=protection.tls) as one:
        one.worker("a", [0, 1])
        one.worker("b", [2, 3])
        one.put_words({f"press-{number}": number for number in range(20)})
        yield one


def test_a_client_with_authority_and_token_asks_any_worker(
    guarded: World, certificates: Certificates, given: dict[str, Path]
) -> None:
    """Points that are passed on, lists that are gathered, status, proofs."""
    settings = Settings(http_ca_file=certificates.ca_file, http_token_file=given["everything"])
    with Client.at(guarded.servers["a"].address, patience_s=0, settings=settings) as client:
        assert all(client.get("words", f"press-{number}") is not None for number in range(20))
        assert len(list(client.scan("words"))) == 20
        assert {row.owner for row in client.status("")} == {"a", "b"}
    addresses = [server.address for server in guarded.servers.values()]
    with Client.at(*addresses, patience_s=0, settings=settings) as client:
        assert {line["partition"] for line in client.verify("")} == {0, 1, 2, 3}


def test_without_a_token_a_client_is_told_so(guarded: World, certificates: Certificates) -> None:
    settings = Settings(http_ca_file=certificates.ca_file)
    with Client.at(guarded.servers["a"].address, patience_s=0, settings=settings) as client:
        with pytest.raises(Refused, match="a token is needed here"):
            client.get("words", "press-1")
        with pytest.raises(Refused, match="a token is needed here"):
            client.status("")
        with pytest.raises(Refused, match="a token is needed here"):
            list(client.verify(""))


def test_a_client_of_another_authority_does_not_show_its_token(
    guarded: World, tmp_path: Path, given: dict[str, Path]
) -> None:
    others = Certificates(_made(tmp_path / "others"))
    settings = Settings(http_ca_file=others.ca_file, http_token_file=given["reader"])
    with Client.at(guarded.servers["a"].address, patience_s=0, settings=settings) as client, pytest.raises(Unavailable):
        client.get("words", "press-1")


def test_a_certificate_for_another_host_is_none(certificates: Certificates, tokens: Tokens) -> None:
    settings = Settings(**certificates.of("elsewhere", "elsewhere.example"))
    with world(1, tls=Protection.of(settings).tls, outgoing=Outgoing.of(settings)) as one:
        one.worker("a", [0])
        with (
            Client.at(one.servers["a"].address, patience_s=0, settings=settings) as client,
            pytest.raises(Unavailable, match="ConnectError"),
        ):
            client.get("words", "press-1")


def test_without_tls_a_worker_over_tls_tells_nothing(guarded: World) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{guarded.servers['a'].address}/healthz")


def test_no_version_of_tls_that_is_broken_is_spoken(tls: dict[str, Any]) -> None:
    served = Protection.of(Settings(**tls)).tls
    assert served is not None
    assert served.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_where_certificates_are_asked_for_none_comes_in_without(
    certificates: Certificates, tls: dict[str, Any], tmp_path: Path
) -> None:
    settings = Settings(**tls, http_client_ca_file=certificates.ca_file)
    with world(2, tls=Protection.of(settings).tls, outgoing=Outgoing.of(settings)) as one:
        one.worker("a", [0])
        one.worker("b", [1])
        one.put_words({f"press-{number}": number for number in range(8)})
        address = one.servers["a"].address
        with Client.at(address, patience_s=0, settings=Settings(**certificates.of("client"))) as client:
            assert len(list(client.scan("words"))) == 8, "workers show each other their own"
        others = Certificates(_made(tmp_path / "others")).of("client")
        for without in ({"http_ca_file": certificates.ca_file}, {**others, "http_ca_file": certificates.ca_file}):
            with Client.at(address, patience_s=0, settings=Settings(**without)) as client, pytest.raises(Unavailable):
                client.get("words", "press-1")


@pytest.mark.parametrize(
    "given",
    [
        {"http_certificate_file": "there"},
        {"http_key_file": "there"},
        {"http_certificate_file": "missing", "http_key_file": "missing"},
        {"http_certificate_file": "nonsense", "http_key_file": "nonsense"},
        {"http_ca_file": "missing"},
        {"http_ca_file": "nonsense"},
        {"http_client_ca_file": "nonsense"},
        {"http_tokens_file": "missing"},
        {"http_tokens_file": "nonsense"},
        {"http_token_file": "missing"},
        {"http_token_file": "nonsense"},
    ],
)
def test_files_that_cannot_be_used_end_a_worker_before_it_begins(
    tmp_path: Path, certificates: Certificates, given: dict[str, str]
) -> None:
    (tmp_path / "nonsense").write_text("two words\n")
    (tmp_path / "there").write_bytes(certificates.ca_file.read_bytes())
    settings = Settings(bootstrap_servers="127.0.0.1:1", **{name: tmp_path / file for name, file in given.items()})  # type: ignore[arg-type]
    with pytest.raises(Misconfigured) as refused:
        run_worker(settings, "aggregate", None)  # type: ignore[arg-type]
    assert "two words" not in f"{refused.value} {refused.value.hint}"


# A token never goes over a network in the clear


@pytest.mark.parametrize(("insecure", "sent"), [(False, False), (True, True)])
def test_a_token_does_not_go_over_a_network_in_the_clear(tokens: Tokens, insecure: bool, sent: bool) -> None:
    settings = Settings(http_token_file=tokens.file_of("x", "status"), http_insecure=insecure)
    outgoing = Outgoing.of(settings)
    shown = []

    def answer(request: httpx.Request) -> httpx.Response:
        shown.append(request.headers["authorization"])
        return httpx.Response(200)

    client = outgoing.client(httpx.Timeout(5))
    client._transport = httpx.MockTransport(answer)  # so that nothing really goes anywhere
    with client:
        client.get(outgoing.url("127.0.0.1:80", "/"))
        assert len(shown) == 1, "on this machine it may"
        for address in ("192.0.2.7:80", "worker-0.example:80", "[2001:db8::1]:80"):
            if sent:
                client.get(outgoing.url(address, "/"))
            else:
                with pytest.raises(Misconfigured, match="in the clear"):
                    client.get(outgoing.url(address, "/"))
    assert len(shown) == (4 if sent else 1)


# Workers ask in their own name for checkpoints alone


@pytest.mark.parametrize(("shown", "said"), [(None, "a token is needed here"), ("reader", "scope status")])
def test_a_peer_without_the_right_gets_no_checkpoint_and_says_why(
    guarded: World, certificates: Certificates, given: dict[str, Path], tmp_path: Path, shown: str | None, said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    settings = Settings(http_ca_file=certificates.ca_file, http_token_file=given[shown] if shown else None)
    members: list[Member] = guarded.members()
    peers = PeerCheckpoints(Directory(lambda: members, "in", 4), "me", ["words"], Outgoing.of(settings))
    guarded.workers["a"].kept[2] = guarded.stores[2]
    assert peers.fetch(identity(2), -1, tmp_path / "2") is None
    told = capsys.readouterr()
    assert said in told.out + told.err
    assert not (tmp_path / "2").exists()


def test_the_token_of_peers_opens_status_and_checkpoints(
    guarded: World, certificates: Certificates, given: dict[str, Path]
) -> None:
    settings = Settings(http_ca_file=certificates.ca_file, http_token_file=given["peers"])
    with Outgoing.of(settings).client(httpx.Timeout(10)) as http:
        found = {
            route: http.get(guarded.url("a", route)).status_code
            for route in ("/v1/status", "/v1/checkpoint/2", "/v1/words", "/v1/words/x", "/v1/verify", "/metrics")
        }
    assert found == {
        "/v1/status": 200, "/v1/checkpoint/2": 409,  # the donor of these tests gives nothing
        "/v1/words": 403, "/v1/words/x": 403, "/v1/verify": 403, "/metrics": 403,
    }  # fmt: skip
