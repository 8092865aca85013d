#!/usr/bin/env bash
# Bring compose.yaml up under a name of its own, send readings in, see their state come out, take it down: nothing is left.
#   deploy/try-compose.sh              with docker compose
#   deploy/try-compose.sh --local      with podman-compose and the images of deploy/local/images.sh, without Grafana
set -euo pipefail
cd "$(dirname "$0")"
project=statelog-try
scratch=$(mktemp -d)
workers=(transform-0 transform-1 aggregate-0 aggregate-1)
export KAFKA_PORT=29092 AGGREGATE_0_PORT=28080 AGGREGATE_1_PORT=28081 PROMETHEUS_PORT=29090 GRAFANA_PORT=23000
if [ "${1:-}" = --local ]; then
    export STATELOG_IMAGE=localhost/statelog KAFKA_IMAGE=localhost/statelog-kafka
    export PROMETHEUS_IMAGE=localhost/statelog-prometheus
    engine=podman
    compose=(podman-compose)
else
    engine=docker
    compose=(docker compose)
fi
compose+=(-p "$project" -f compose.yaml --profile command)

say() { echo "$(date +%H:%M:%S) $*"; }
# What there is of the project, by the label that compose gives to all that it makes.
left() {
    local of_project=(--filter "label=com.docker.compose.project=$project" --quiet)
    "$engine" ps --all "${of_project[@]}"
    "$engine" volume ls "${of_project[@]}"
    "$engine" network ls "${of_project[@]}"
}
up() {
    say "up: $*"
    "${compose[@]}" up --detach "$@" > "$scratch/up" 2>&1 || { cat "$scratch/up" >&2; exit 1; }
}
down() { "${compose[@]}" down --volumes > "$scratch/down" 2>&1; }
end() {
    local status=$?
    if ((status)); then
        "${compose[@]}" logs --tail 20 >&2 || true
        down || true
    fi
    rm -rf "$scratch"
}
trap end EXIT

# eventually SECONDS WHAT COMMAND…: wait until the command succeeds.
eventually() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" > "$scratch/out" 2>&1; do
        if ((SECONDS > deadline)); then
            echo "not so: $what" >&2
            tail -n 40 "$scratch/out" >&2
            exit 1
        fi
        sleep 1
    done
    say "$what"
}
# answer URL EXPRESSION: the expression holds of the JSON d that is answered there.
answer() {
    python3 -c "
import json, sys, urllib.request
d = json.load(urllib.request.urlopen(sys.argv[1], timeout=5))
sys.exit(0 if eval(sys.argv[2]) else json.dumps(d, indent=1))" "$@"
}
# statelog ARGUMENTS…: the command, in a container beside the workers.
statelog() { "${compose[@]}" run --rm -T --no-deps statelog "$@"; }
# healthy SERVICE: by its health check.
healthy() {
    if [ "$engine" = podman ]; then
        podman healthcheck run "${project}_$1_1"
    else
        "${compose[@]}" ps --format '{{.Health}}' "$1" | grep -qx healthy
    fi
}
# lines N PATTERN ARGUMENTS…: so many lines of what the command answers have the pattern.
lines() { [ "$(statelog "${@:3}" | grep -c "$2")" = "$1" ]; }

[ -z "$(left)" ] || { echo "there is a $project already" >&2; exit 1; }
if [ "$engine" = podman ]; then
    # Podman before 4.6 knows no conditions of dependencies, and without systemd no health checks: the same order, by hand.
    up --no-deps kafka prometheus
    eventually 120 "Kafka is healthy" healthy kafka
    statelog topics create --partitions 4 > "$scratch/topics"
    up --no-deps "${workers[@]}"
else
    up kafka topics "${workers[@]}" prometheus grafana
fi

for port in $AGGREGATE_0_PORT $AGGREGATE_1_PORT; do
    eventually 300 "the worker at port $port is ready" answer "http://127.0.0.1:$port/readyz" "d['status'] == 'ready'"
done
for worker in "${workers[@]}"; do
    eventually 60 "the health check of $worker passes" healthy "$worker"
done
statelog produce --from - << 'READINGS' > "$scratch/produced"
{"device_id": "press-07", "metric": "temperature", "value": 212, "unit": "degF", "event_time": 1386018900000, "seq": 1}
{"device_id": "press-07", "metric": "temperature", "value": 32, "unit": "degF", "event_time": 1386018901000, "seq": 2}
{"device_id": "press-07", "metric": "temperature", "value": "hot", "unit": "degF", "event_time": 1386018902000, "seq": 3}
READINGS
mean="d['value']['readings'] == 2 and abs(d['value']['metrics']['temperature']['mean'] - 50) < 1e-9"
for port in $AGGREGATE_0_PORT $AGGREGATE_1_PORT; do
    eventually 120 "at port $port, 212 and 32 degF are a mean of 50 degC" \
        answer "http://127.0.0.1:$port/v1/device-state/press-07" "$mean"
done
eventually 60 "statelog get answers in a container of its own" lines 1 '"readings": *2' get press-07 --json
eventually 60 "the broken message is a dead letter" lines 1 wrong-type dead-letters ls --json
eventually 60 "all four partitions are active" lines 4 '"state": *"active"' status --json
eventually 60 "statelog verify proves the stores" statelog verify
prometheus=http://127.0.0.1:$PROMETHEUS_PORT/api/v1
eventually 60 "Prometheus has all four workers" \
    answer "$prometheus/query?query=sum(up%7Bjob=%22statelog%22%7D)" "d['data']['result'][0]['value'][1] == '4'"
eventually 60 "its alert rules work" \
    answer "$prometheus/rules" "all(rule['health'] == 'ok' for rule in d['data']['groups'][0]['rules'])"
if [ "$engine" = docker ]; then
    eventually 120 "Grafana has the dashboard" \
        answer "http://127.0.0.1:$GRAFANA_PORT/api/dashboards/uid/statelog" "len(d['dashboard']['panels']) > 5"
fi

down
[ -z "$(left)" ] || { echo "left behind:" >&2; left >&2; exit 1; }
say "down: no container, volume or network is left"
