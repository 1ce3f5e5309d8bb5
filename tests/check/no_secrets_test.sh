#!/usr/bin/env bash
# no_secrets.sh finds what it looks for, and does not repeat it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../scripts"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
	echo "no_secrets_test.sh: $*" >&2
	exit 1
}

printf 'all well\nBEGIN of the end\n' >"$folder/clean.log"
printf 'fine\n{"error":"-----BEGIN RSA PRIVATE KEY-----\\nMIIE"}\n' >"$folder/key.log"
printf 'token=planted-1\n' >"$folder/needle.log"
printf 'planted-1\n\nplanted-2\n' >"$folder/needles"

./no_secrets.sh --needles "$folder/needles" "$folder/clean.log" || fail "a clean log was refused"
said=$(./no_secrets.sh "$folder/clean.log" "$folder/key.log" 2>&1) && fail "a private key was not found"
[ "$said" = "$folder/key.log:2: PEM text" ] || fail "unexpected words: $said"
said=$(./no_secrets.sh --needles "$folder/needles" "$folder/needle.log" 2>&1) && fail "a needle was not found"
[ "$said" = "$folder/needle.log:1: a planted secret" ] || fail "unexpected words: $said"
./no_secrets.sh "$folder/not-there.log" 2>/dev/null && fail "a missing log passed"
echo "no_secrets.sh: as promised"
