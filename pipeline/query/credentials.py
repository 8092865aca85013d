"""Who somebody is that shows a token."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.errors import Misconfigured
from pipeline.query.bearer_tokens import Holder, holder_of, is_token, read_holders
from pipeline.query.json_web_tokens import VerifyKey, claims_of, read_keys
from pipeline.query.rights import EVERYTHING, NOTHING, Rights
from pipeline.secret_files import Followed
from pipeline.settings import Settings


class Caller(NamedTuple):
    """Who asks, and what they may."""

    name: str
    rights: Rights


ANYONE = Caller("anyone", EVERYTHING)
"""Where nobody has to show a token."""
NOBODY = Caller("nobody", NOTHING)
"""Who shows none where one is asked for."""


class _Issuer(NamedTuple):
    keys: Followed[tuple[VerifyKey, ...]]
    name: str
    audience: str


class Credentials:
    """The tokens that a worker knows, by file or by issuer. Both files are followed."""

    def __init__(self, holders: Followed[tuple[Holder, ...]] | None, issuer: _Issuer | None) -> None:
        """For `of` alone."""
        self._holders = holders
        self._issuer = issuer

    @classmethod
    def of(cls, settings: Settings) -> Credentials | None:
        """None where the settings name no tokens. Misconfigured where they do not go together."""
        holders = issuer = None
        if settings.http_tokens_file is not None:
            holders = Followed(settings.http_tokens_file, read_holders)
        expected = [settings.http_jwt_key_file, settings.http_jwt_issuer, settings.http_jwt_audience]
        if any(expected):
            if not (settings.http_jwt_key_file and settings.http_jwt_issuer and settings.http_jwt_audience):
                raise Misconfigured(
                    "JSON Web Tokens need a key, an issuer and an audience",
                    hint="set STATELOG_HTTP_JWT_KEY_FILE, STATELOG_HTTP_JWT_ISSUER and STATELOG_HTTP_JWT_AUDIENCE",
                )
            keys = Followed(settings.http_jwt_key_file, read_keys)
            issuer = _Issuer(keys, settings.http_jwt_issuer, settings.http_jwt_audience)
        return cls(holders, issuer) if holders or issuer else None

    def caller(self, token: str) -> Caller | None:
        """Whose token it is; None for one of nobody's."""
        if not is_token(token):
            return None
        if self._holders is not None and (holder := holder_of(token, self._holders())) is not None:
            return Caller(holder.name, holder.rights)
        if self._issuer is not None:
            claims = claims_of(token, self._issuer.keys(), self._issuer.name, self._issuer.audience)
            return None if claims is None else Caller(claims.name, claims.rights)
        return None
