#!/usr/bin/env bash
# A seed gives the same trace, byte for byte, in every process and build: Swift seeds its hashing anew in each process, so
# an order that depends on it shows here and not within one process. Other builds to compare with are further arguments.
# usage: replay.sh [FIRST-SEED] [VARVE...]    e.g. 'VARVE=.build/release/varve replay.sh 0 .build/debug/varve'
set -euo pipefail
first=${1:-0}
shift || true
# Debug builds are slow, and there need be none.
debug="$(dirname "${BASH_SOURCE[0]}")/../../.build/debug/varve"
[[ $# -gt 0 || ! -x $debug ]] || set -- "$debug"
expected=
for varve in "${VARVE:?the release build}" "$VARVE" "$@"; do
    digest=$("$varve" simulate --seed "$first" --seeds 40 --digest | grep '^digest ')
    printf '%s  %s\n' "$digest" "$varve"
    [[ -z $expected || $digest == "$expected" ]] || {
        echo "the same seeds gave other traces"
        exit 1
    }
    expected=$digest
done
