#!/usr/bin/env bash
# Every Go file is as gofmt writes it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

unformatted=$(gofmt -l go tests)
[ -z "$unformatted" ] || {
	printf 'run gofmt -w on:\n%s\n' "$unformatted" >&2
	exit 1
}
