"""Tokens that `statelog token new` makes: 256 random bits, of which a worker knows the SHA-256 alone.

A file has a line for each: NAME sha256:HEX SCOPE…, with blanks between; `#` begins a comment.
A slow hash would protect words that people choose. These cannot be guessed, and a slow one would let strangers keep a
worker busy.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import Misconfigured
from pipeline.query.rights import Rights, rights_of
from pipeline.secret_files import secret_of, text_of

MAX_TOKEN = 8_192
"""Characters of a token of any kind."""

_MARK = "statelog_"
"""By which those who search for leaked secrets know one."""
_FORM = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,100}")
_HASH = re.compile(r"sha256:([0-9a-f]{64})")


class Holder(NamedTuple):
    """Somebody who has a token."""

    name: str
    sha256: str
    rights: Rights


def is_token(text: str) -> bool:
    """Whether it has the form of one (RFC 6750)."""
    return len(text) <= MAX_TOKEN and _FORM.fullmatch(text) is not None


def new_token() -> str:
    return _MARK + secrets.token_urlsafe(32)


def line_of(name: str, token: str, scopes: Sequence[str]) -> str:
    """What a worker's file says of it. Misconfigured for a name or a scope that is none."""
    line = f"{name} sha256:{_sha256(token)} {' '.join(scopes)}"
    _parse(line)
    return line


def read_holders(path: Path) -> tuple[Holder, ...]:
    """Misconfigured, with the number of the line, for a file that cannot be read as one."""
    holders: dict[str, Holder] = {}
    for number, line in enumerate(text_of(path).splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            holder = _parse(text)
        except Misconfigured as error:
            raise Misconfigured(error.message, hint=error.hint, file=path, line=number) from None
        if holder.sha256 in holders:
            raise Misconfigured("a token is listed twice", hint="one line a token", file=path, line=number)
        holders[holder.sha256] = holder
    return tuple(holders.values())


def holder_of(token: str, holders: Sequence[Holder]) -> Holder | None:
    """Compares with every one, each in constant time: how long it takes tells nothing."""
    found = None
    sha256 = _sha256(token)
    for each in holders:
        if hmac.compare_digest(each.sha256, sha256):
            found = each
    return found


def read_token(path: Path) -> str:
    """The token that this process shows. Misconfigured for a file that holds none."""
    token = secret_of(path)
    if not is_token(token):
        raise Misconfigured("the file holds no token", hint="it holds what `statelog token new` printed", file=path)
    return token


def _parse(line: str) -> Holder:
    # What stands there is not quoted: it may be a token, put there by mistake.
    name, *rest = line.split()
    hashed = _HASH.fullmatch(rest[0]) if rest else None
    if _NAME.fullmatch(name) is None or hashed is None:
        raise Misconfigured(
            "the line is none of a tokens file", hint="NAME sha256:HEX SCOPE…, as `statelog token new` prints"
        )
    try:
        rights = rights_of(rest[1:])
    except ValueError:
        raise Misconfigured(
            "there is no such scope", hint="status, metrics, verify, checkpoint, read:TABLE, read:TABLE:PREFIX", of=name
        ) from None
    if len(rest) < 2:
        raise Misconfigured("a token without a scope is of no use", hint="name a scope", of=name)
    return Holder(name, hashed[1], rights)


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("ascii")).hexdigest()
