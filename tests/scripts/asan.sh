#!/usr/bin/env bash
# Memory safety: the address and leak sanitizers over the C programs, the Go suite and the Rust tests, with the library
# instrumented in each; valgrind over the C programs. Each of the four has planted faults to find, or fails.
# Usage: tests/scripts/asan.sh [quick]
#   quick   the C programs and the Go package over the ABI, as `make test` does
#
# What it builds goes to build/asan; the usual builds stay as they are.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
# shellcheck source=tests/scripts/sanitizer.sh
source "$root/tests/scripts/sanitizer.sh"
require_tools
cd "$root"

# Searching all memory for a key takes forever in the sanitizer's, where what is freed stays for a while.
go_skips='TestKeysAreNotStrewnOverMemory|TestTheSearchFindsAPlantedKey|TestKeysOfEvictedEntries'
# The leak sanitizer does not work under strace, nor does memory weigh what it does without.
rust_skips=(--skip killed_at_every_call --skip an_error_at_any_call --skip a_flood_of_unknown_names)

go_suite() { # PACKAGE...
	local archive digest
	archive=$(instrumented_archive)
	# Go's build cache does not notice a changed archive, but it does notice another folder.
	digest=$(cksum <"$archive" | tr ' ' -)
	mkdir -p "build/asan/go/$digest"
	ln -sf "$archive" "build/asan/go/$digest/"
	CGO_LDFLAGS="-L$root/build/asan/go/$digest" \
		go -C go test -asan -count=1 -timeout=20m -skip "$go_skips" "$@"
}

# instrumented_tests ARGUMENTS...: cargo test.
instrumented_tests() {
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address RUSTDOCFLAGS=-Zsanitizer=address \
		cargo test --quiet --locked --target "$rust_target" --target-dir build/asan/tests "$@"
}

echo "== C programs under the address sanitizer"
tests/abi/run.sh asan | grep -v '^ok '
if [ "${1:-}" = quick ]; then
	echo "== the Go package over the ABI under the address sanitizer"
	go_suite ./internal/native
	exit
fi

echo "== C programs under valgrind"
if command -v valgrind >/dev/null; then
	tests/abi/run.sh valgrind 2>&1 | grep -E '^(planted|FAIL|[0-9]+ passed)|ERROR SUMMARY'
else
	echo "NOT DONE: valgrind is not installed, on Debian: apt install valgrind"
fi
echo "== the Go suite under the address sanitizer"
go_suite ./...
echo "== Rust tests under the address sanitizer"
instrumented_tests --workspace -- "${rust_skips[@]}"
expect_fault 'heap-use-after-free' instrumented_tests -p cached-http-ffi --test planted_fault -- \
	--ignored --exact a_buffer_is_read_after_it_was_given_back
echo "asan: nothing found but what was planted"
