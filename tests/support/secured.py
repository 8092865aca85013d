"""A Kafka with TLS, names and rights: SCRAM and OAUTHBEARER on one listener, client certificates on another.

Its plain listener, on loopback, is the administrator's; who comes in there may do everything.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import trustme
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from pipeline.broker import EmbeddedBroker
from pipeline.broker.ports import free_port
from pipeline.privileges import Privilege
from tests.support.waiting import PATIENCE_S, eventually

HOST = "127.0.0.1"
AUDIENCE = "kafka"
MECHANISMS = {"SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256, "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512}
PASSWORD = "correct horse"  # noqa: S105 of a broker that lives as long as its test


class SecuredKafka:
    """Makes users; each method gives the settings by which a client is that user."""

    def __init__(self, broker: EmbeddedBroker, ports: dict[str, int], authority: trustme.CA, directory: Path) -> None:
        self.broker = broker
        self.admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        self._ports = ports
        self._authority = authority
        self._directory = directory
        self.ca_file = directory / "ca.pem"

    @property
    def addresses(self) -> dict[str, str]:
        """Of the listeners, by how they are secured."""
        return {name: f"{HOST}:{port}" for name, port in self._ports.items()}

    def scram(self, name: str, mechanism: str = "SCRAM-SHA-512", password: str = PASSWORD) -> dict[str, Any]:
        info = ScramCredentialInfo(MECHANISMS[mechanism], 4096)
        (done,) = self.admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(name, info, password.encode())]
        ).values()
        done.result(timeout=PATIENCE_S)
        return {**self._sasl(name, self.secret(name, password)), "sasl_mechanism": mechanism}

    def certificate(self, name: str) -> dict[str, Any]:
        issued = self._authority.issue_cert(f"{name}.test", common_name=name)
        certificate, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return {
            "bootstrap_servers": self.addresses["SSL"], "security_protocol": "ssl", "ssl_ca_file": str(self.ca_file),
            "ssl_certificate_file": str(certificate), "ssl_key_file": str(key),
        }  # fmt: skip

    def token(self, name: str, issuer: TokenIssuer) -> dict[str, Any]:
        return {
            **self._sasl(name, self.secret(name, issuer.secret)),
            "sasl_mechanism": "OAUTHBEARER", "sasl_token_url": issuer.token_url,
        }  # fmt: skip

    def _sasl(self, name: str, secret: Path) -> dict[str, Any]:
        return {
            "bootstrap_servers": self.addresses["SASL_SSL"], "security_protocol": "sasl_ssl",
            "ssl_ca_file": str(self.ca_file), "sasl_username": name, "sasl_password_file": str(secret),
        }  # fmt: skip

    def secret(self, name: str, text: str) -> Path:
        path = self._directory / f"{name}.secret"
        path.write_text(text + "\n")
        return path

    def grant(self, name: str, privileges: Sequence[Privilege]) -> None:
        """Returns when the broker goes by them."""
        bindings = [
            AclBinding(
                ResourceType[each.resource.upper().replace(" ", "_")],
                each.name,
                ResourcePatternType.PREFIXED if each.prefixed else ResourcePatternType.LITERAL,
                f"User:{name}",
                "*",
                AclOperation[each.operation.upper()],
                AclPermissionType.ALLOW,
            )
            for each in privileges
        ]
        for done in self.admin.create_acls(bindings).values():
            done.result(timeout=PATIENCE_S)
        # The answer is the controller's; the broker hears of it a moment later.
        anything = AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, f"User:{name}", None,
                                    AclOperation.ANY, AclPermissionType.ANY)  # fmt: skip
        eventually(
            lambda: set(bindings) <= set(self.admin.describe_acls(anything).result(timeout=PATIENCE_S)),
            f"the broker goes by the rights of {name}",
        )


@contextmanager
def secured_kafka(directory: Path, issuer: TokenIssuer | None = None) -> Iterator[SecuredKafka]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    _write_broker(authority, directory / "broker.pem")
    ports = {"SASL_SSL": free_port(), "SSL": free_port()}
    overrides = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(directory / "broker.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(directory / "ca.pem"),
        "listener.name.ssl.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
        "sasl.enabled.mechanisms": ",".join([*MECHANISMS, *(["OAUTHBEARER"] if issuer else [])]),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    for mechanism in MECHANISMS:
        overrides[f"listener.name.sasl_ssl.{mechanism.lower()}.sasl.jaas.config"] = (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        )
    options: tuple[str, ...] = ()
    if issuer:
        options = (f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={issuer.keys_url}",)
        overrides |= {
            "listener.name.sasl_ssl.oauthbearer.sasl.jaas.config":
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;",
            "listener.name.sasl_ssl.oauthbearer.sasl.server.callback.handler.class":
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler",
            "sasl.oauthbearer.jwks.endpoint.url": issuer.keys_url,
            "sasl.oauthbearer.expected.audience": AUDIENCE,
        }  # fmt: skip
    with EmbeddedBroker(overrides=overrides, listeners=ports, java_options=options) as broker:
        yield SecuredKafka(broker, ports, authority, directory)


def _write_broker(authority: trustme.CA, path: Path) -> None:
    """Key and certificate in one file, the key as Java reads it."""
    issued = authority.issue_cert(HOST, common_name="broker")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    written = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(written + b"".join(blob.bytes() for blob in issued.cert_chain_pems))


class TokenIssuer:
    """An OAuth 2 server: tokens for who knows the secret, and the key by which brokers check them."""

    secret = "token secret"  # noqa: S105 of a server that lives as long as its test

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.issued: list[str] = []
        """To whom."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer({"keys": [issuer.public_key]})

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                self._answer(issuer.grant(self.headers.get("authorization", ""), form))

            def _answer(self, data: dict[str, Any]) -> None:
                body = json.dumps(data).encode()
                self.send_response(200 if "error" not in data else 401)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self._server.server_port}"
        self.keys_url, self.token_url = f"{self.url}/keys", f"{self.url}/token"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def public_key(self) -> dict[str, Any]:
        key: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {**key, "kid": "one", "alg": "RS256", "use": "sig"}

    def grant(self, authorization: str, form: dict[str, list[str]]) -> dict[str, Any]:
        import base64

        name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if secret != self.secret or form.get("grant_type") != ["client_credentials"]:
            return {"error": "invalid_client"}
        now = int(time.time())
        claims = {"sub": name, "aud": AUDIENCE, "iss": self.url, "iat": now, "exp": now + 300, "scope": []}
        self.issued.append(name)
        token = jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "one"})
        return {"access_token": token, "token_type": "Bearer", "expires_in": 300}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
