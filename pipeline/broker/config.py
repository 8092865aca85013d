"""How the embedded Kafka is set up: one node, loopback only, quick to start, quick to notice a dead worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import Misconfigured

HOST = "127.0.0.1"
NODE_ID = "1"

SETTINGS: Mapping[str, str] = {
    # One broker holds the only copy.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Fewer files to make and to read at a start.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "1",
    # A misspelt topic is an error, not an empty topic.
    "auto.create.topics.enable": "false",
    # A group forms at once, and may ask for sessions so short that a test sees a dead worker's partitions move.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "200",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.heartbeat.interval.ms": "1000",
    # The only broker is never fenced for being slow: nobody could take over, and transactions in the way are harmed.
    "broker.session.timeout.ms": "30000",
    # A dead worker's open transaction is ended within a second of its time-out (Kafka's default: ten).
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # A broker that stops hands its partitions to others first. Where there are none they are without a leader, and what
    # fence.py tells of a broker that was killed happens to transactions that end meanwhile: seen in 3 of 40 stops.
    "controlled.shutdown.enable": "false",
    # A topic that asks for quick compaction or deletion sees it.
    "log.cleaner.backoff.ms": "200",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "1000",
}
"""What a broker for tests and demonstrations needs beyond Kafka's defaults, whoever runs it."""

JAVA_OPTIONS = (
    # Together they halve the start and the memory of a broker with one node's work.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    # A killed Java would leave its statistics file in the system's directory for temporary files.
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    # Kafka 4.3 uses both on Java 25, which would warn of it on every start.
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)

_PLAIN = ("PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT")
LOG4J_FILE = Path(__file__).with_name("log4j2.properties")


def server_properties(
    logs: Path, port: int, controller_port: int, overrides: Mapping[str, str], listeners: Mapping[str, int]
) -> str:
    """The properties of a node that is broker and controller; `overrides` win over everything.

    `listeners` are ports beside its own, by Kafka's name of how they are secured, such as SASL_SSL.
    """
    ports = {"PLAINTEXT": port, **listeners, "CONTROLLER": controller_port}
    broker = {
        **SETTINGS,
        **_controller(logs, controller_port),
        "process.roles": "broker,controller",
        "listeners": ",".join(f"{name}://{HOST}:{number}" for name, number in ports.items()),
        "listener.security.protocol.map": ",".join([*(f"{each}:{each}" for each in listeners), *_PLAIN]),
    }
    return _properties({**broker, **overrides})


def controller_properties(logs: Path, controller_port: int) -> str:
    """The properties of the same node as a controller alone, which fences a silent broker at once."""
    short = {"broker.session.timeout.ms": "100", "broker.heartbeat.interval.ms": "50"}
    return _properties({**_controller(logs, controller_port), **short, "process.roles": "controller"})


def _controller(logs: Path, controller_port: int) -> dict[str, str]:
    if "," in str(logs):
        raise Misconfigured("kafka takes no data directory with a comma in its name", data_dir=logs.parent)
    return {
        "node.id": NODE_ID,
        "listeners": f"CONTROLLER://{HOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        # Static voters: the controller's port may be another at the next start, since no file remembers it.
        "controller.quorum.voters": f"{NODE_ID}@{HOST}:{controller_port}",
        "log.dirs": str(logs),
    }


def _properties(settings: Mapping[str, str]) -> str:
    return "".join(f"{name}={_escaped(value)}\n" for name, value in settings.items())


def java_command(
    java: Path, jars: Sequence[Path], directory: Path, heap_mb: int, options: Sequence[str], main: str, *arguments: str
) -> list[str]:
    """A command that runs one of Kafka's main classes; its log and its temporary files stay in the directory."""
    return [
        str(java),
        f"-Xmx{heap_mb}m",
        *JAVA_OPTIONS,
        *options,
        f"-XX:ErrorFile={directory / 'java-crash.log'}",
        f"-Djava.io.tmpdir={directory / 'tmp'}",
        f"-Dlog4j2.configurationFile={LOG4J_FILE.as_uri()}",
        f"-Dstatelog.broker.log={directory / 'broker.log'}",
        "-cp",
        ":".join(map(str, jars)),
        main,
        *arguments,
    ]


def _escaped(value: str) -> str:
    """A value for Java's property files, which are Latin-1 and give the backslash a meaning."""
    value = value.replace("\\", "\\\\")
    units = value.encode("utf-16-be")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if 32 < code < 127 else f"\\u{code:04x}" for code in codes)
