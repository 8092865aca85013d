"""Tokens that nobody gave: each is a 401, whatever it says of itself, and no worker stumbles over one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pipeline.query.credentials import Credentials
from pipeline.query.wire import PROBLEM_TYPE_PREFIX
from tests.support.identities import AUDIENCE, ISSUER, Issuer, Tokens, bearer, public_pem
from tests.support.waiting import PATIENCE_S
from tests.support.web import http
from tests.unit.query.world import World, world

ROUTE = "/v1/status"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("issuer"), rsa.generate_private_key(65_537, 2_048), "RS256")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return Tokens(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="module")
def given(tokens: Tokens) -> str:
    """A token that is good."""
    return tokens.give("somebody", "status")


@pytest.fixture(scope="module")
def guarded(issuer: Issuer, tokens: Tokens, given: str) -> Iterator[World]:
    """A worker that knows tokens of both kinds."""
    settings = issuer.settings.model_copy(update={"http_tokens_file": tokens.path})
    with world(1, credentials=Credentials.of(settings)) as one:
        one.worker("a", [0])
        yield one


def part(data: Any) -> str:
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def by_hand(header: Any, claims: Any, signature: bytes = b"") -> str:
    return f"{part(header)}.{part(claims)}.{part(signature)}"


def signed_with(secret: bytes, header: dict[str, Any], claims: Any) -> str:
    """By HMAC, as if the secret were one."""
    head = f"{part(header)}.{part(claims)}"
    return f"{head}.{part(hmac.new(secret, head.encode(), hashlib.sha256).digest())}"


def der(issuer: Issuer) -> bytes:
    return issuer.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def another(issuer: Issuer, directory: Path) -> Issuer:
    directory.mkdir(exist_ok=True)
    return Issuer(directory, rsa.generate_private_key(65_537, 2_048), "RS256")


def flipped(token: str, place: int) -> str:
    return token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]


NOW = int(time.time())
GOOD = {"alg": "RS256", "typ": "JWT"}
HMAC = {"alg": "HS256", "typ": "JWT"}
Forge = Callable[[Issuer, Path], str]

FORGED: dict[str, Forge] = {
    "signed by another key": lambda it, there: another(it, there).sign(it.claims()),
    "another key, which it brings along": lambda it, there: another(it, there).sign(
        it.claims(), {"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}
    ),
    "another key, at an address": lambda it, there: another(it, there).sign(
        it.claims(), {"jku": "http://127.0.0.1:1/keys", "kid": "one"}
    ),
    "another key, by a certificate's address": lambda it, there: another(it, there).sign(
        it.claims(), {"x5u": "http://127.0.0.1:1/certificate.pem"}
    ),
    "another key, whose id is a path": lambda it, there: another(it, there).sign(
        it.claims(), {"kid": "../../../../../../dev/null"}
    ),
    "an empty key, whose id is a path": lambda it, _: signed_with(b"", {**HMAC, "kid": "/dev/null"}, it.claims()),
    "another key, whose id is an order to a database": lambda it, there: another(it, there).sign(
        it.claims(), {"kid": "x' UNION SELECT 'key';--"}
    ),
    "algorithm none": lambda it, _: by_hand({"alg": "none", "typ": "JWT"}, it.claims()),
    "algorithm NoNe": lambda it, _: by_hand({"alg": "NoNe", "typ": "JWT"}, it.claims()),
    "no algorithm": lambda it, _: by_hand({"typ": "JWT"}, it.claims()),
    "algorithm none, on a signature that was good": lambda it, _: (
        by_hand({"alg": "none"}, it.claims()).rpartition(".")[0] + "." + it.sign(it.claims()).rpartition(".")[2]
    ),
    "the public key as a secret": lambda it, _: signed_with(public_pem(it.key), HMAC, it.claims()),
    "the public key without its last line end": lambda it, _: signed_with(public_pem(it.key)[:-1], HMAC, it.claims()),
    "the public key in bytes as a secret": lambda it, _: signed_with(der(it), HMAC, it.claims()),
    "an elliptic key": lambda it, _: Issuer.sign(_ec(it), it.claims()),
    "an Edwards key": lambda it, _: Issuer.sign(_ed(it), it.claims()),
    "expired": lambda it, _: it.sign(it.claims(exp=NOW - 3_600)),
    "expired a while ago by little": lambda it, _: it.sign(it.claims(exp=int(time.time()) - 10)),
    "not yet valid": lambda it, _: it.sign(it.claims(nbf=NOW + 3_600)),
    "issued in the future": lambda it, _: it.sign(it.claims(iat=NOW + 3_600)),
    "without exp": lambda it, _: it.sign(it.claims(exp=None)),
    "without aud": lambda it, _: it.sign(it.claims(aud=None)),
    "without iss": lambda it, _: it.sign(it.claims(iss=None)),
    "exp that is no number": lambda it, _: it.sign(it.claims(exp="tomorrow")),
    "exp without end": lambda it, _: it.sign(it.claims(exp=float("inf"))),
    "for somebody else": lambda it, _: it.sign(it.claims(aud="another")),
    "for a list of others": lambda it, _: it.sign(it.claims(aud=["another", AUDIENCE + "2"])),
    "of another issuer": lambda it, _: it.sign(it.claims(iss=ISSUER + ".evil.test")),
    "of issuers in a list": lambda it, _: by_hand(GOOD, it.claims(iss=[ISSUER]), b"x" * 256),
    "with what has to be understood": lambda it, _: it.sign(it.claims(), {"crit": ["unheard-of"], "unheard-of": 1}),
    "cut short": lambda it, _: it.sign(it.claims())[:-10],
    "without its signature": lambda it, _: it.sign(it.claims()).rpartition(".")[0] + ".",
    "two parts": lambda it, _: it.sign(it.claims()).rpartition(".")[0],
    "four parts": lambda it, _: it.sign(it.claims()) + ".e30",
    "a bit of the claims flipped": lambda it, _: flipped((token := it.sign(it.claims())), token.index(".") + 20),
    "a bit of the signature flipped": lambda it, _: flipped((token := it.sign(it.claims())), len(token) - 20),
    "claims of another, signature of this": lambda it, _: ".".join(
        [
            (good := it.sign(it.claims()).split("."))[0],
            part(it.claims("status metrics verify checkpoint read:*")),
            good[2],
        ]
    ),
    "claims that are no object": lambda _, __: by_hand(GOOD, ["status"], b"x" * 256),
    "a header that is no object": lambda it, _: by_hand("RS256", it.claims(), b"x" * 256),
    "a header that is no JSON": lambda it, _: by_hand(b"\xff\x00{", it.claims(), b"x" * 256),
    "a header of ten thousand brackets": lambda _, __: f"{'W' * 4_000}.{'W' * 2_000}.W",
    "a null byte among the claims": lambda it, _: by_hand(GOOD, it.claims(sub="a\0b"), b"\0" * 256),
    "a null byte in the key's id": lambda it, there: another(it, there).sign(it.claims(), {"kid": "a\0b"}),
    "an encrypted one": lambda it, _: by_hand({"alg": "RSA-OAEP", "enc": "A256GCM"}, it.claims(), b"x") + ".x.x",
    "nothing but dots": lambda _, __: "..",
}  # fmt: skip


def _ec(issuer: Issuer) -> Issuer:
    other = Issuer.__new__(Issuer)
    other.key, other.algorithm = ec.generate_private_key(ec.SECP256R1()), "ES256"
    return other


def _ed(issuer: Issuer) -> Issuer:
    other = Issuer.__new__(Issuer)
    other.key, other.algorithm = ed25519.Ed25519PrivateKey.generate(), "EdDSA"
    return other


def assert_refused(answer: Any) -> None:
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["type"] == PROBLEM_TYPE_PREFIX + "unauthenticated"
    assert set(answer.json()) <= {"type", "title", "status", "detail", "hint"}


def test_a_token_that_was_given_is_let_in(guarded: World, issuer: Issuer, given: str) -> None:
    """So that the refusals below are for what was forged."""
    for token in (given, issuer.sign(issuer.claims())):
        assert http.get(guarded.url("a", ROUTE), headers=bearer(token)).status_code == 200


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_forged_token_is_refused(guarded: World, issuer: Issuer, tmp_path: Path, forge: Forge) -> None:
    token = forge(issuer, tmp_path / "another")
    assert_refused(http.get(guarded.url("a", ROUTE), headers=bearer(token)))


Spoil = Callable[[str], list[tuple[bytes, bytes]]]

HEADERS: dict[str, Spoil] = {
    "none": lambda _: [],
    "empty": lambda _: [(b"authorization", b"")],
    "no token": lambda _: [(b"authorization", b"Bearer")],
    "another scheme": lambda token: [(b"authorization", b"Basic " + base64.b64encode(f"x:{token}".encode()))],
    "no scheme": lambda token: [(b"authorization", token.encode())],
    "a scheme too much": lambda token: [(b"authorization", f"Bearer Bearer {token}".encode())],
    "two tokens": lambda token: [(b"authorization", f"Bearer {token} {token}".encode())],
    "two tokens with a comma": lambda token: [(b"authorization", f"Bearer {token},Bearer {token}".encode())],
    "the header twice": lambda token: [(b"authorization", f"Bearer {token}".encode())] * 2,
    "the header twice, the second is none": lambda token: [
        (b"authorization", f"Bearer {token}".encode()), (b"Authorization", b"Bearer x")
    ],
    "in another header": lambda token: [(b"proxy-authorization", f"Bearer {token}".encode())],
    "in a cookie": lambda token: [(b"cookie", f"authorization=Bearer {token}".encode())],
    "cut short": lambda token: [(b"authorization", f"Bearer {token[:-1]}".encode())],
    "longer": lambda token: [(b"authorization", f"Bearer {token}A".encode())],
    "in capitals": lambda token: [(b"authorization", f"Bearer {token.upper()}".encode())],
    "a bit flipped": lambda token: [(b"authorization", f"Bearer {flipped(token, 20)}".encode())],
    "its hash": lambda token: [(b"authorization", f"Bearer {hashlib.sha256(token.encode()).hexdigest()}".encode())],
    "quoted": lambda token: [(b"authorization", f'Bearer "{token}"'.encode())],
    "beyond ASCII": lambda token: [(b"authorization", f"Bearer {token}é".encode())],
    "digits of another script": lambda _: [(b"authorization", b"Bearer \xd9\xa1\xd9\xa2")],
    "too long": lambda token: [(b"authorization", b"Bearer " + token.encode() + b"A" * 9_000)],
    "tabs": lambda token: [(b"authorization", f"Bearer\t{token}".encode())],
}  # fmt: skip


@pytest.mark.parametrize("spoil", HEADERS.values(), ids=HEADERS.keys())
def test_a_spoilt_header_is_refused(guarded: World, given: str, spoil: Spoil) -> None:
    assert_refused(http.get(guarded.url("a", ROUTE), headers=spoil(given)))


@pytest.mark.parametrize("parameter", ["access_token", "token", "authorization"])
def test_a_token_in_the_address_is_none(guarded: World, given: str, parameter: str) -> None:
    assert_refused(http.get(guarded.url("a", ROUTE), params={parameter: given}))


@pytest.mark.parametrize("byte", [b"\0", b"\r", b"\n", b"\x0b"])
def test_a_control_character_in_a_header_does_not_come_in(guarded: World, given: str, byte: bytes) -> None:
    host, _, port = guarded.servers["a"].address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        line = b"Authorization: Bearer " + given[:-1].encode() + byte + given[-1:].encode()
        connection.sendall(b"GET " + ROUTE.encode() + b" HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n")
        assert connection.recv(100).split()[1] in {b"400", b"401"}
    assert http.get(guarded.url("a", ROUTE), headers=bearer(given)).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/words", "/v1/words/x", "/nothing", "/metrics", "//", "/healthz/", "/HEALTHZ"]
)
def test_without_a_token_nobody_learns_what_is_served(guarded: World, path: str) -> None:
    assert_refused(http.get(guarded.url("a", path)))


def test_a_request_behind_another_is_not_let_in_by_its_token(guarded: World, given: str) -> None:
    """Both in one packet, on one connection: the second shows nothing."""
    host, _, port = guarded.servers["a"].address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        first = f"GET {ROUTE} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {given}\r\n\r\n"
        second = f"GET {ROUTE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        connection.sendall((first + second).encode())
        with connection.makefile("rb") as stream:
            answer = stream.read()
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"401"]
