"""How this process asks workers: over TLS or not, and with whose token. Every client of theirs is made here.

A worker that passes a question on, to its owner or to everybody, shows the token of who asked it, never one of its own.
So nobody gets from a peer what the peer would not tell them, and there is no right that a worker could lend by mistake.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Generator
from contextvars import ContextVar

import httpx

from pipeline.errors import Misconfigured
from pipeline.query.bearer_tokens import read_token
from pipeline.query.listener import is_loopback
from pipeline.secret_files import Followed, text_of
from pipeline.settings import Settings

ASKED_WITH: ContextVar[str | None] = ContextVar("asked_with", default=None)
"""The Authorization of the request that is being answered: whatever is asked of peers meanwhile is asked with it."""

Authorization = Callable[[], str | None]


class Outgoing:
    """What the settings say of asking workers. All workers of a pipeline are asked in one way."""

    def __init__(
        self, tls: ssl.SSLContext | None = None, token: Followed[str] | None = None, *, insecure: bool = False
    ) -> None:
        """`insecure`: tokens may go over a network in the clear."""
        self._tls = tls
        self._token = token
        self._insecure = insecure

    @classmethod
    def of(cls, settings: Settings) -> Outgoing:
        """Misconfigured for files that cannot be used."""
        token = settings.http_token_file and Followed(settings.http_token_file, read_token)
        return cls(_tls(settings), token or None, insecure=settings.http_insecure)

    def url(self, address: str, target: str) -> str:
        """Of what a worker at HOST:PORT serves."""
        return f"{'http' if self._tls is None else 'https'}://{address}{target}"

    def client(self, timeout: httpx.Timeout) -> httpx.Client:
        """That asks in this process's own name."""
        return httpx.Client(timeout=timeout, trust_env=False, verify=self._context(), auth=self._shown(self._own))

    def client_for_others(self, timeout: httpx.Timeout) -> httpx.AsyncClient:
        """That asks in the name of whoever's request is being answered."""
        auth = self._shown(ASKED_WITH.get)
        return httpx.AsyncClient(timeout=timeout, trust_env=False, verify=self._context(), auth=auth)

    def _context(self) -> ssl.SSLContext:
        # Where nothing goes over TLS, one that trusts nobody: it is made in no time.
        return self._tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def _own(self) -> str | None:
        return None if self._token is None else f"Bearer {self._token()}"

    def _shown(self, authorization: Authorization) -> httpx.Auth:
        return _Shown(authorization, insecure=self._insecure)


PLAIN = Outgoing()


class _Shown(httpx.Auth):
    """The token on each request; Misconfigured rather than one in the clear on a network."""

    def __init__(self, authorization: Authorization, *, insecure: bool) -> None:
        self._authorization = authorization
        self._insecure = insecure

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        authorization = self._authorization()
        if authorization is not None:
            if request.url.scheme != "https" and not (self._insecure or is_loopback(request.url.host)):
                raise Misconfigured(
                    f"the token would go to {request.url.host} in the clear",
                    hint="set STATELOG_HTTP_CA_FILE to ask over TLS",
                )
            request.headers["authorization"] = authorization
        yield request


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """None where workers are asked without."""
    if settings.http_ca_file is None and settings.http_certificate_file is None:
        return None
    if settings.http_ca_file is not None:
        text_of(settings.http_ca_file)
    try:
        context = ssl.create_default_context(cafile=settings.http_ca_file)
        load_certificate(context, settings)
    except ssl.SSLError as error:
        raise Misconfigured("STATELOG_HTTP_CA_FILE holds no certificate", hint="PEM: BEGIN CERTIFICATE") from error
    return context


def load_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    """That this process is known by, if it has one. Misconfigured for files that are none, or not of each other."""
    certificate, key = settings.http_certificate_file, settings.http_key_file
    if (certificate is None) != (key is None):
        raise Misconfigured(
            "a certificate and its key go together",
            hint="set both STATELOG_HTTP_CERTIFICATE_FILE and STATELOG_HTTP_KEY_FILE",
        )
    if certificate is None or key is None:
        return
    text_of(certificate)
    text_of(key)
    try:
        # A key that asks for a password would ask at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise Misconfigured(
            "certificate and key cannot be used",
            hint="PEM, of each other, the key without a password",
            certificate=certificate,
            key=key,
        ) from error
