#!/usr/bin/env bash
# Builds the benchmark's programs and runs it: `make bench`. QUICK=1 for less, STRICT=1 to fail on a missed target.
set -euo pipefail
cd "$(dirname "$0")/../.."

binaries=build/bench/bin
mkdir -p "$binaries"
CGO_ENABLED=1 go -C tests/bench build -trimpath -o "$PWD/$binaries/" ./caddy ./origin ./client ./run

options=(-root "$PWD")
[[ -n ${QUICK:-} ]] && options+=(-quick)
[[ -n ${STRICT:-} ]] && options+=(-strict)
exec "$binaries/run" "${options[@]}" "$@"
