"""Every setting: from flags, then `STATELOG_*` environment, then these defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]*$", max_length=100)]


class Settings(BaseSettings):
    """Settings of a pipeline and its workers. Durations are milliseconds, sizes are bytes, where the name says so."""

    model_config = SettingsConfigDict(env_prefix="STATELOG_", extra="ignore", frozen=True)

    bootstrap_servers: str | None = Field(
        None, description="Kafka's addresses; `statelog broker` prints those of a Kafka of your own"
    )
    prefix: Name = Field("", description="goes before every topic, group and transactional id")
    topology: str = Field(
        "operators.iot:topology", description="module:NAME of a Topology, or of a function that makes one"
    )

    id: Name | None = Field(None, description="a worker's stable name; none: dynamic membership")
    data_dir: Path = Field(Path("statelog-data"), description="where workers keep their stores")
    http: str | None = Field(None, description="HOST:PORT a worker serves HTTP on; port 0 takes a free one")
    advertise: str | None = Field(None, description="HOST:PORT others reach it by; none: the one it listens on")

    http_certificate_file: Path | None = Field(
        None, description="PEM of a worker's certificate: it serves over TLS, and shows it to those it asks"
    )
    http_key_file: Path | None = Field(None, description="PEM of that certificate's private key")
    http_ca_file: Path | None = Field(
        None, description="PEM of who vouches for workers, which are asked over TLS then; none: the system's"
    )
    http_client_ca_file: Path | None = Field(
        None, description="PEM of who vouches for those who ask; none: they need no certificate"
    )
    http_tokens_file: Path | None = Field(
        None, description="who may ask a worker: a line each, of `statelog token new`"
    )
    http_jwt_key_file: Path | None = Field(
        None, description="PEM of the public keys by which JSON Web Tokens are checked"
    )
    http_jwt_issuer: str | None = Field(None, description="who has to have issued them")
    http_jwt_audience: str | None = Field(None, description="whom they have to be meant for")
    http_token_file: Path | None = Field(None, description="holds the token that is shown to workers")
    http_insecure: bool = Field(
        False, description="lets HTTP beyond loopback do without TLS and tokens: everybody there reads everything"
    )

    security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        "plaintext", description="how Kafka is talked to: ssl is TLS, sasl is with a name and a proof"
    )
    ssl_ca_file: Path | None = Field(None, description="PEM of who vouches for the brokers; none: the system's")
    ssl_certificate_file: Path | None = Field(None, description="PEM of this client's certificate, for mutual TLS")
    ssl_key_file: Path | None = Field(None, description="PEM of the certificate's private key")
    ssl_key_password_file: Path | None = Field(None, description="holds the password of that key, where it has one")
    sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512", description="of the proof, where the protocol is one of sasl"
    )
    sasl_username: str | None = Field(None, description="of SCRAM and PLAIN; of OAUTHBEARER the client id")
    sasl_password_file: Path | None = Field(None, description="holds the password, or the client's secret")
    sasl_token_url: str | None = Field(None, description="where OAUTHBEARER gets its tokens: client credentials")
    sasl_token_scope: str | None = Field(None, description="that is asked for there")

    group_protocol: Literal["classic", "consumer"] = Field("classic", description="consumer is KIP-848")
    session_timeout_ms: int = Field(10_000, ge=1_000, description="after this silence a worker counts as dead")
    transaction_timeout_ms: int = Field(
        9_000, ge=1_000, description="below the session timeout; above the longest commit"
    )
    commit_interval_ms: int = Field(100, ge=1, description="the longest a reading waits for its commit")
    commit_records: int = Field(200_000, ge=1, description="records after which a commit comes at once")
    poll_records: int = Field(1_000, ge=1, description="records taken from the client at a time")
    compression: Literal["none", "lz4", "zstd", "snappy", "gzip"] = Field("lz4", description="of what workers produce")
    cache_entries: int = Field(
        100_000, ge=0, description="decoded rows of a table that a worker keeps in memory, over all partitions"
    )
    restore_chunk_bytes: int = Field(
        64 * 1024 * 1024, ge=1, description="changelog values a restore keeps in memory, over all partitions"
    )
    standby_replicas: int = Field(
        0, ge=0, le=16, description="how many other workers keep a warm copy of each partition's store"
    )
    stuck_after_ms: int = Field(
        60_000, ge=0, description="a partition that stands still for so long, with work, is not ready; 0: never"
    )
    refusal_run: int = Field(1_000, ge=0, description="refusals in a row that stop a worker; 0 for no limit")
    refusal_window: int = Field(
        10_000, ge=0, description="half of this many latest messages refused stops a worker; 0 for no limit"
    )

    window_ms: int = Field(60_000, ge=1, description="length of a window")
    grace_ms: int = Field(30_000, ge=0, description="how long after its end a window still takes readings")
    window_retention_ms: int = Field(86_400_000, ge=0, description="how much of a metric's past device-windows keeps")

    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto: console on a terminal, JSON elsewhere"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least that is logged")
    traces: Literal["none", "otlp"] = Field("none", description="OpenTelemetry: a span a commit, sent by OTLP")
