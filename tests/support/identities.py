"""Who may ask workers over HTTP, as tests make them: certificates, tokens with their file, and an issuer of tokens."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pipeline.query.bearer_tokens import line_of, new_token
from pipeline.settings import Settings

HOST = "127.0.0.1"
ISSUER, AUDIENCE = "https://issuer.test", "statelog"


class Certificates:
    """An authority, and what it has issued."""

    def __init__(self, directory: Path) -> None:
        self._authority = trustme.CA()
        self._directory = directory
        self.ca_file = directory / "http-ca.pem"
        self._authority.cert_pem.write_to_path(self.ca_file)

    def of(self, name: str, host: str = HOST) -> dict[str, Any]:
        """Settings of one with a certificate for that host."""
        issued = self._authority.issue_cert(host, common_name=name)
        certificate, key = self._directory / f"{name}-http.pem", self._directory / f"{name}-http.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return {"http_certificate_file": certificate, "http_key_file": key, "http_ca_file": self.ca_file}


class Tokens:
    """A file of those who have one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.path = directory / "tokens"
        self.path.write_text("# who may ask\n")

    def give(self, name: str, *scopes: str) -> str:
        token = new_token()
        with self.path.open("a") as file:
            file.write(line_of(name, token, scopes) + "\n")
        return token

    def file_of(self, name: str, *scopes: str) -> Path:
        """That holds such a token."""
        path = self._directory / f"{name}.token"
        path.write_text(self.give(name, *scopes) + "\n")
        return path


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Issuer:
    """That signs JSON Web Tokens."""

    def __init__(self, directory: Path, key: PrivateKey, algorithm: str) -> None:
        self.key = key
        self.algorithm = algorithm
        self.path = directory / "issuer.pem"
        self.path.write_bytes(public_pem(key))

    @property
    def settings(self) -> Settings:
        return Settings(http_jwt_key_file=self.path, http_jwt_issuer=ISSUER, http_jwt_audience=AUDIENCE)

    def claims(self, scope: str = "status", **changed: Any) -> dict[str, Any]:
        """Good ones, but for what is changed; None leaves a claim out."""
        now = int(time.time())
        claims = {"sub": "somebody", "aud": AUDIENCE, "iss": ISSUER, "iat": now, "exp": now + 300, "scope": scope}
        return {name: value for name, value in {**claims, **changed}.items() if value is not None}

    def sign(self, claims: dict[str, Any], headers: dict[str, Any] | None = None) -> str:
        return jwt.encode(claims, self.key, algorithm=self.algorithm, headers=headers)
