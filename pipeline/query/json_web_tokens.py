"""JSON Web Tokens of somebody who issues them, checked by public keys from a file.

What a token says of itself decides nothing: neither which algorithm (a key has one, by its kind), nor where a key is
(`jku`, `x5u`, `jwk` and `kid` are not read).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from pipeline.errors import Misconfigured
from pipeline.query.rights import Reading, Right, Rights, parse_scope
from pipeline.secret_files import text_of

LEAST_RSA_BITS = 2_048
LEEWAY_S = 5
"""By how much the issuer's clock may differ."""
REQUIRED = ["exp", "aud", "iss"]

_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


class VerifyKey(NamedTuple):
    """A public key, and the one algorithm that it checks."""

    key: Any
    algorithm: str


class Claims(NamedTuple):
    """Of a token that is good."""

    name: str
    rights: Rights


def read_keys(path: Path) -> tuple[VerifyKey, ...]:
    """All of a file: of two, one is on its way in or out. Misconfigured for anything that is no public key for this."""
    blocks = [(found[1], found[0]) for found in _BLOCK.finditer(text_of(path))]
    if not blocks:
        raise Misconfigured("the file holds no key", hint="PEM: BEGIN PUBLIC KEY", file=path)
    return tuple(_verify_key(kind, block, path) for kind, block in blocks)


def _verify_key(kind: str, block: str, path: Path) -> VerifyKey:
    hint = "RSA of at least 2048 bits (RS256), P-256 (ES256) or Ed25519 (EdDSA), as BEGIN PUBLIC KEY"
    if kind != "PUBLIC KEY":
        raise Misconfigured(f"{kind.lower()} in a file of public keys", hint=hint, file=path)
    try:
        key = load_pem_public_key(block.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Misconfigured("a key cannot be read", hint=hint, file=path) from error
    match key:
        case RSAPublicKey() if key.key_size >= LEAST_RSA_BITS:
            return VerifyKey(key, "RS256")
        case EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1):
            return VerifyKey(key, "ES256")
        case Ed25519PublicKey():
            return VerifyKey(key, "EdDSA")
    raise Misconfigured("a key is too weak, or of a kind that is not used here", hint=hint, file=path)


def claims_of(token: str, keys: tuple[VerifyKey, ...], issuer: str, audience: str) -> Claims | None:
    """None for whatever is not signed by one of the keys, in time, by this issuer for this audience."""
    for each in keys:
        try:
            claims = jwt.decode(
                token,
                each.key,
                algorithms=[each.algorithm],
                audience=audience,
                issuer=issuer,
                leeway=LEEWAY_S,
                options={"require": REQUIRED},
            )
        except Exception:  # noqa: S112 (a forged one may trip over anything: it is no token, whatever it was)
            continue
        return Claims(str(claims.get("sub", "")), _rights(claims.get("scope")))
    return None


def _rights(scope: object) -> Rights:
    """Of the words that this is about; an issuer puts others there too."""
    words = scope.split() if isinstance(scope, str) else scope if isinstance(scope, list) else []
    named: set[Right] = set()
    readings: set[Reading] = set()
    for word in words:
        try:
            parsed = parse_scope(str(word))
        except ValueError:
            continue
        if isinstance(parsed, Right):
            named.add(parsed)
        else:
            readings.add(parsed)
    return Rights(frozenset(named), frozenset(readings))
