#!/usr/bin/env bash
# Imports point one way, unsafe code stays in rust/ffi and cgo in go/internal/native.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

status=0
# refuse REASON PLACES: there should be no places.
refuse() {
	[ -z "$2" ] && return
	printf '%s:\n%s\n' "$1" "$2" >&2
	status=1
}

# search PATTERN FOLDER...: file:line:text, comments left out; finding nothing is no failure.
search() {
	local pattern=$1
	shift
	grep -rnE --include='*.rs' --include='*.go' "$pattern" "$@" | grep -vE '^[^:]+:[0-9]+:[[:space:]]*//' || true
}

# --- Rust: what only rust/ffi may write.
refuse 'unsafe code, raw pointers and extern "C" belong in rust/ffi' \
	"$(search '\bunsafe\b|extern "C"|\*(const|mut) [A-Za-z_]' rust/core | grep -vF '#![forbid(unsafe_code)]' || true)"
grep -q '^#!\[forbid(unsafe_code)\]' rust/core/src/lib.rs ||
	refuse 'unsafe code is no longer forbidden in' rust/core/src/lib.rs

# --- Rust: ffi -> core; in core: engine -> parts -> leaves. A part imports leaves only, but for these.
leaves=" clock counters earliest_end entry error freshness operations server_name settings storage "
exceptions=' bundle>keys bundle>pem disk_format>bundle disk_format>keys disk_store>bundle disk_store>disk_format'
exceptions+=' disk_store>keys entry>bundle entry>keys events>single_flight record>keys '

refuse 'import one module a line (use crate::module::Name), so that this check can read it' \
	"$(search 'crate::\{' rust/core/src)"

# One "importer imported file:line" for each crate::module in code; tests, at the end of a file, may use any part.
core_imports() {
	find rust/core/src -name '*.rs' -not -name lib.rs -not -name tests.rs | sort | while read -r file; do
		awk -v file="$file" '
			/^#\[cfg\(test\)\]/ { exit }
			/^[[:space:]]*\/\// { next }
			{
				importer = file
				sub(/^rust\/core\/src\//, "", importer)
				sub(/(\.rs|\/.*)$/, "", importer)
				while (match($0, /crate::[a-z_]+/)) {
					print importer, substr($0, RSTART + 7, RLENGTH - 7), file ":" FNR
					$0 = substr($0, RSTART + RLENGTH)
				}
			}' "$file"
	done
}
against_the_arrows() {
	core_imports | while read -r importer imported place; do
		[ "$importer" = engine ] || [ "$importer" = "$imported" ] && continue
		[[ $leaves == *" $imported "* || $exceptions == *" $importer>$imported "* ]] && continue
		echo "$place: $importer imports $imported"
	done
}
refuse 'imports in rust/core point from engine to the parts and from the parts to the leaves' "$(against_the_arrows)"
refuse 'rust/core knows nothing of rust/ffi' "$(search 'cached_http_ffi|cached_http::' rust/core/src)"

# --- Go: the root imports operate, config, store, ask, issuance and native; operate imports store, issuance and its page; store and ask import config;
# store imports native, which alone knows C, and ask issuance, which knows domains. A package imports only those of a lower rank; nobody imports the root. Tests
# may import any.
refuse 'import "C" belongs in go/internal/native' \
	"$(search '^(import )?[[:space:]]*"C"$' go tests | grep -v '^go/internal/native/' || true)"
refuse 'go/internal/native knows nothing of Caddy' \
	"$(search '"github.com/caddyserver/' go/internal/native | grep -v '_test\.go:' || true)"

go_imports() {
	search '"github.com/cached-http/caddy-cached-http/go' go | grep -vE '^[^:]*(_test\.go|/storetest/[^:]*|/testbackend/[^:]*|/native/archive_digest_[^:]*):'
}
go_against_the_arrows() {
	go_imports | awk -F: '
		BEGIN {
			rank["go"] = 4
			rank["go/internal/operate"] = 3
			rank["go/internal/operate/page"] = 2
			rank["go/internal/store"] = rank["go/internal/ask"] = 2
			rank["go/internal/issuance"] = 1 # knows nothing of the others
			rank["go/internal/config"] = rank["go/internal/native"] = 1
			rank["go/internal/command"] = 1 # a client of the admin API: knows none of the others
			rank["go/internal/testca"] = rank["go/internal/testport"] = rank["go/internal/testleak"] = 4 # for tests alone
		}
		{
			importer = $1
			sub(/\/[^\/]*$/, "", importer)
			match($0, /caddy-cached-http\/go[a-z\/]*/)
			imported = substr($0, RSTART + 18, RLENGTH - 18)
			if (!(importer in rank)) print importer " has no rank in this check"
			else if (!(imported in rank) || rank[importer] <= rank[imported])
				print $1 ":" $2 ": " importer " imports " imported
		}'
}
refuse 'imports in go point from the root to operate, from it to store, and from store and ask to config and native' "$(go_against_the_arrows)"

exit $status
