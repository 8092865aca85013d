"""What keeps a worker's HTTP from strangers; beyond loopback it has to be there."""

from __future__ import annotations

import ssl
from typing import NamedTuple

from pipeline.errors import Misconfigured
from pipeline.query.credentials import Credentials
from pipeline.query.listener import is_loopback, split_address
from pipeline.query.outgoing import load_certificate
from pipeline.secret_files import text_of
from pipeline.settings import Settings


class Protection(NamedTuple):
    tls: ssl.SSLContext | None
    credentials: Credentials | None

    @classmethod
    def of(cls, settings: Settings) -> Protection:
        """Misconfigured for files that cannot be used, and for an address beyond loopback without TLS and tokens."""
        protection = cls(_tls(settings), Credentials.of(settings))
        if settings.http is not None and not is_loopback(split_address(settings.http)[0]):
            protection._require(settings)
        return protection

    def _require(self, settings: Settings) -> None:
        missing = []
        if self.tls is None:
            missing.append("STATELOG_HTTP_CERTIFICATE_FILE and STATELOG_HTTP_KEY_FILE")
        if self.credentials is None:
            missing.append("STATELOG_HTTP_TOKENS_FILE or STATELOG_HTTP_JWT_KEY_FILE")
        if missing and not settings.http_insecure:
            raise Misconfigured(
                f"{settings.http} is beyond loopback: no HTTP there without TLS and tokens",
                hint=f"set {', and '.join(missing)}; --insecure does without",
            )


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """What a worker serves with; None without a certificate."""
    if settings.http_certificate_file is None and settings.http_key_file is None:
        if settings.http_client_ca_file is not None:
            raise Misconfigured("certificates are shown over TLS alone", hint="set STATELOG_HTTP_CERTIFICATE_FILE too")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, settings)
    if settings.http_client_ca_file is not None:
        text_of(settings.http_client_ca_file)
        try:
            context.load_verify_locations(settings.http_client_ca_file)
        except ssl.SSLError as error:
            raise Misconfigured(
                "STATELOG_HTTP_CLIENT_CA_FILE holds no certificate", hint="PEM: BEGIN CERTIFICATE"
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context
