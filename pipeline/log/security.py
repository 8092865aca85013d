"""How Kafka's clients prove who they are, and see who the brokers are."""

from __future__ import annotations

from typing import Any

from pipeline.errors import Misconfigured
from pipeline.secret_files import secret_of, text_of
from pipeline.settings import Settings


def security(settings: Settings) -> dict[str, Any]:
    """The clients' settings. Secrets are read from their files here, and are kept nowhere else.

    Raises Misconfigured for a file that cannot be read, and for settings that do not go together.
    """
    protocol = settings.security_protocol
    return {
        "security.protocol": protocol,
        **(_tls(settings) if protocol.endswith("ssl") else {}),
        **(_sasl(settings) if protocol.startswith("sasl") else {}),
    }


def _tls(settings: Settings) -> dict[str, Any]:
    if (settings.ssl_certificate_file is None) != (settings.ssl_key_file is None):
        raise Misconfigured(
            "a certificate and its key go together",
            hint="set both STATELOG_SSL_CERTIFICATE_FILE and STATELOG_SSL_KEY_FILE",
        )
    files = {
        "ssl.ca.location": settings.ssl_ca_file,
        "ssl.certificate.location": settings.ssl_certificate_file,
        "ssl.key.location": settings.ssl_key_file,
    }
    given = {name: path for name, path in files.items() if path is not None}
    for path in given.values():
        text_of(path)  # what the client says of a file that is not there names no file
    configuration: dict[str, Any] = {name: str(path) for name, path in given.items()}
    if settings.ssl_key_password_file is not None:
        configuration["ssl.key.password"] = secret_of(settings.ssl_key_password_file)
    return configuration


def _sasl(settings: Settings) -> dict[str, Any]:
    if settings.sasl_username is None or settings.sasl_password_file is None:
        raise Misconfigured(
            f"{settings.security_protocol} needs a name and a secret",
            hint="set STATELOG_SASL_USERNAME and STATELOG_SASL_PASSWORD_FILE",
        )
    secret = secret_of(settings.sasl_password_file)
    if settings.sasl_mechanism != "OAUTHBEARER":
        return {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": settings.sasl_username,
            "sasl.password": secret,
        }
    if settings.sasl_token_url is None:
        raise Misconfigured("OAUTHBEARER gets its tokens somewhere", hint="set STATELOG_SASL_TOKEN_URL")
    configuration = {
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": settings.sasl_token_url,
        "sasl.oauthbearer.client.id": settings.sasl_username,
        "sasl.oauthbearer.client.secret": secret,
    }
    if settings.sasl_token_scope is not None:
        configuration["sasl.oauthbearer.scope"] = settings.sasl_token_scope
    return configuration
