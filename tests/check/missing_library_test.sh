#!/usr/bin/env bash
# A Go build without the Rust library ends with a sentence that says what to run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cp go/internal/native/*.[gh]* "$folder"
rm -f "$folder"/*_test.go "$folder"/archive_digest_*.go
printf 'module native\n\ngo 1.26.0\n' >"$folder/go.mod"
said=$(go -C "$folder" build . 2>&1) && {
	echo "missing_library_test.sh: the build passed without the library" >&2
	exit 1
}
[[ $said == *"error: #error"*"run make lib"* ]] || {
	printf 'missing_library_test.sh: the error does not say what to run:\n%s\n' "$said" >&2
	exit 1
}
echo "a missing library: as promised"
