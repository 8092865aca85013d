"""How clients come to a secured cluster: what goes together, and what is said of files that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Misconfigured
from pipeline.log.config import common
from pipeline.log.security import security
from pipeline.settings import Settings

SECRET = "s3cret with spaces "  # noqa: S105


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {name: tmp_path / name for name in ("ca", "certificate", "key", "empty", "secret")}
    for path in found.values():
        path.write_text("PEM")
    found["empty"].write_text("\n")
    found["secret"].write_text(f"{SECRET}\r\n")
    return {**found, "missing": tmp_path / "missing", "directory": tmp_path}


def _settings(**given: Any) -> Settings:
    return Settings(bootstrap_servers="127.0.0.1:9", **given)


def test_plaintext_needs_nothing() -> None:
    assert security(_settings()) == {"security.protocol": "plaintext"}


def test_a_secret_is_the_file_without_its_line_end(files: dict[str, Path]) -> None:
    settings = _settings(
        security_protocol="sasl_ssl", ssl_ca_file=files["ca"], sasl_username="a", sasl_password_file=files["secret"]
    )
    found = common(settings)
    assert (found["sasl.mechanism"], found["sasl.username"]) == ("SCRAM-SHA-512", "a")
    assert found["sasl.password"] == SECRET
    assert found["ssl.ca.location"] == str(files["ca"])
    assert SECRET.strip() not in repr(settings)


def test_what_the_protocol_does_not_use_is_not_read(files: dict[str, Path]) -> None:
    assert "sasl.password" not in security(_settings(security_protocol="ssl", sasl_password_file=files["missing"]))


def test_a_certificate_comes_with_its_key(files: dict[str, Path]) -> None:
    pair = {"ssl_certificate_file": files["certificate"], "ssl_key_file": files["key"]}
    found = security(_settings(security_protocol="ssl", ssl_key_password_file=files["secret"], **pair))
    assert found == {
        "security.protocol": "ssl", "ssl.certificate.location": str(files["certificate"]),
        "ssl.key.location": str(files["key"]), "ssl.key.password": SECRET,
    }  # fmt: skip


def test_tokens_are_fetched_by_the_client(files: dict[str, Path]) -> None:
    tokens = {"sasl_token_url": "https://sso.example/token", "sasl_token_scope": "kafka"}
    named = {"sasl_username": "id", "sasl_password_file": files["secret"], "sasl_mechanism": "OAUTHBEARER"}
    found = security(_settings(security_protocol="sasl_ssl", **named, **tokens))
    prefix = "sasl.oauthbearer."
    assert {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)} == {
        "method": "oidc", "token.endpoint.url": "https://sso.example/token", "client.id": "id",
        "client.secret": SECRET, "scope": "kafka",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"security_protocol": "sasl_ssl"}, "needs a name and a secret"),
        ({"security_protocol": "sasl_plaintext", "sasl_username": "a"}, "needs a name and a secret"),
        ({"security_protocol": "sasl_ssl", "sasl_username": "a", "sasl_password_file": "empty"}, "holds no secret"),
        ({"security_protocol": "sasl_ssl", "sasl_username": "a", "sasl_password_file": "missing"}, "read .*missing"),
        ({"security_protocol": "sasl_ssl", "sasl_username": "a", "sasl_password_file": "directory"}, "cannot read"),
        (
            {"security_protocol": "sasl_ssl", "sasl_username": "a", "sasl_password_file": "secret",
             "sasl_mechanism": "OAUTHBEARER"},
            "gets its tokens somewhere",
        ),
        ({"security_protocol": "ssl", "ssl_certificate_file": "certificate"}, "go together"),
        ({"security_protocol": "ssl", "ssl_key_file": "key"}, "go together"),
        ({"security_protocol": "ssl", "ssl_ca_file": "missing"}, "cannot read .*missing"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_told_before_anybody_is_talked_to(
    files: dict[str, Path], given: dict[str, str], message: str
) -> None:
    with pytest.raises(Misconfigured, match=message) as raised:
        security(_settings(**{name: files.get(value, value) for name, value in given.items()}))
    assert SECRET.strip() not in f"{raised.value} {raised.value.hint}"
