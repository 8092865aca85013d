#!/usr/bin/env bash
# secrets.sh DIRECTORY: an authority, a certificate for the workers of compose.yaml and for this machine, and tokens.
# To try things: one key for all workers, good for a year. STATELOG is the command, by default `statelog`.
set -euo pipefail
directory=$1
statelog=${STATELOG:-statelog}
hosts=(transform-0 transform-1 aggregate-0 aggregate-1 localhost)
[ ! -e "$directory" ] || { echo "$directory is there already" >&2; exit 1; }
mkdir -p "$directory"
cd "$directory"

names=$(printf 'DNS:%s,' "${hosts[@]}")IP:127.0.0.1
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=statelog authority" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" -keyout ca.key -out ca.pem 2> openssl.log
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=statelog worker" \
    -keyout worker.key -out worker.csr 2>> openssl.log
openssl x509 -req -in worker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -out worker.pem \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$names") 2>> openssl.log
rm worker.csr openssl.log ca.srl ca.key # nothing else is to be issued by it

# token NAME SCOPE…: its line into the file of those who may ask, the token into a file of its own.
token() {
    local name=$1 scopes=() scope made
    for scope in "${@:2}"; do scopes+=(--scope "$scope"); done
    made=$("$statelog" token new --name "$name" "${scopes[@]}" --json)
    python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' token <<< "$made" > "$name.token"
    python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' line <<< "$made" >> tokens
}
token workers status checkpoint
token operator 'read:*' status verify
token prometheus metrics
# Read by the containers' own user, which this machine does not know.
chmod 644 ./*
echo "$directory: $(echo *)"
