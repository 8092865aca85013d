#!/usr/bin/env bash
# Run tests on a Kafka in a container, through testcontainers, with podman in the place of Docker: tests/podman.sh [PYTEST OPTIONS]
# Needs podman, and images to be had: Apache's own, or STATELOG_TEST_KAFKA_IMAGE=localhost/statelog-kafka, which
# deploy/local/images.sh builds. Everything that is started here is gone at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
unset STATELOG_BOOTSTRAP_SERVERS
run=$(mktemp -d)
socket=$run/podman.sock
podman system service --time 0 "unix://$socket" &
service=$!
trap 'kill $service; wait $service || true; rm -rf "$run"' EXIT
until [ -S "$socket" ]; do
    kill -0 $service
    sleep 0.1
done
before=$(podman ps --all --quiet | sort)
export DOCKER_HOST=unix://$socket
# Else testcontainers, where it takes this machine for a container itself, looks for the ports at the machine's gateway.
export TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1
# Its reaper is one more image; tests stop their container themselves.
export TESTCONTAINERS_RYUK_DISABLED=true
.venv/bin/pytest "$@" | tee "$run/report"
grep -q '^kafka: testcontainers, ' "$run/report" || { echo "no test asked for Kafka, or it was another one" >&2; exit 1; }
left=$(podman ps --all --quiet | sort | comm -13 <(echo "$before") -)
[ -z "$left" ] || { echo "left behind: $left" >&2; exit 1; }
