"""Write the lock file anew: `python -m pipeline.broker.relock KAFKA_VERSION LOG4J_VERSION`.

Resolves Kafka's run-time dependencies, as its POM states them, and prints the lock. Only here are dependencies
resolved; everybody else fetches exactly what the lock names.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from jgo.maven import MavenContext

from pipeline.broker.fetch import configured_repositories
from pipeline.broker.lock import Jar


def resolve(kafka_version: str, log4j_version: str) -> list[Jar]:
    """Kafka's server, what it needs at run time, and the binding that carries its log to Log4j."""
    # Kafka's jar leaves the binding out. Each root is resolved by itself: together, the POM of one would manage the
    # versions of the other, and Log4j's knows an older Kafka client.
    roots = (
        f"org.apache.kafka:kafka_2.13:{kafka_version}",
        f"org.apache.logging.log4j:log4j-slf4j-impl:{log4j_version}",
    )
    jars: dict[tuple[str, str], Jar] = {}
    with tempfile.TemporaryDirectory() as directory:
        context = MavenContext(repo_cache=Path(directory), remote_repos=configured_repositories())
        for root in roots:
            inputs, needed = context.resolver.resolve([context.create_dependency(root)])
            for dependency in [*inputs, *needed]:
                content = dependency.artifact.resolve().read_bytes()
                digest = hashlib.sha256(content).hexdigest()
                name = (dependency.groupId, dependency.artifactId)
                jar = Jar(*name, dependency.version, len(content), digest)
                if jars.setdefault(name, jar) != jar:
                    raise SystemExit(f"{root} wants {jar.coordinate} beside {jars[name].coordinate}")
    return list(jars.values())


if __name__ == "__main__":
    print(f"# Apache Kafka {sys.argv[1]} and all that it runs on: coordinate, size in bytes, SHA-256.")
    print(f"# Written by `python -m pipeline.broker.relock {' '.join(sys.argv[1:])}`.")
    for locked in resolve(*sys.argv[1:]):
        print(locked.coordinate, locked.size, locked.sha256)
