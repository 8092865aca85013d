#!/usr/bin/env bash
# Make a base image of Debian and its Python, for a machine that cannot pull one: deploy/local/base.sh NAME[:TAG] [SUITE]
# Needs root, podman and debootstrap. SUITE is a release of Debian with Python 3.11 or newer; by default this machine's.
set -euo pipefail
name=$1
suite=${2:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$root" > /dev/null
# What no container reads: half of the size.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/usr/share/{doc,man,info,locale}/*
find "$root" -type d -name __pycache__ -prune -exec rm -r {} +
tar -C "$root" -c . | podman import --quiet --message "Debian $suite, with Python" - "$name"
