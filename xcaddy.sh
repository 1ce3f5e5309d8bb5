#!/usr/bin/env bash
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tests/scripts/tools.sh"

module=github.com/cached-http/caddy-cached-http/go
module_id=tls.get_certificate.cached_http

usage() {
	cat <<'TEXT'
Usage:
  ./xcaddy.sh [--output PATH] [xcaddy build flags]
      Builds a Caddy with tls.get_certificate.cached_http (default: ./caddy). Further flags go to xcaddy:
        --with MODULE[@VERSION][=REPLACEMENT]    one more plugin; may be repeated
        --replace MODULE[@VERSION]=REPLACEMENT   another version or a local copy of a Go module
      A binary that stood at PATH is kept as PATH.prev. If anything fails, nothing at PATH changes.

  ./xcaddy.sh rollback [PATH]
      Puts PATH.prev back (default: ./caddy.prev) and says what to change in the Caddyfile.

Environment:
  CADDY_VERSION   which Caddy to build (default: v2.11.9)
TEXT
}

build() {
	local output=./caddy flags=()
	while [ $# -gt 0 ]; do
		case $1 in
		--output)
			[ $# -gt 1 ] || die "--output wants a path"
			output=$2
			shift
			;;
		--output=*) output=${1#*=} ;;
		*) flags+=("$1") ;;
		esac
		shift
	done
	[ -n "$output" ] && [ ! -d "$output" ] || die "--output wants the path of a file, and \"$output\" is none"

	require_tools
	"$root/tests/scripts/lib.sh"

	# Beside PATH, so that the last step is a rename: whoever looks at PATH finds the old binary or the new one.
	mkdir -p "$(dirname "$output")"
	building=$(mktemp -d "$(dirname "$output")/.xcaddy.XXXXXX")
	trap 'rm -rf "$building"' EXIT
	trap 'exit 130' INT TERM

	# Without cgo the module would be left out; xcaddy switches it off unless told.
	export CGO_ENABLED=1 CADDY_VERSION=${CADDY_VERSION:-v2.11.9}
	local xcaddy modules
	xcaddy=$(find_xcaddy) || die "no xcaddy: neither one on PATH nor the one that tests/tools pins"
	# A made-up version: with none, Go would ask the network which ones there are, only to take the local folder.
	"$xcaddy" build --output "$building/caddy" --with "$module@v0.0.0=$root/go" "${flags[@]+"${flags[@]}"}" ||
		die "the build failed, see above; $output was left as it was"

	modules=$("$building/caddy" list-modules) || die "the new binary does not run; $output was left as it was"
	grep -qx "$module_id" <<<"$modules" || die "the new binary lacks $module_id; $output was left as it was"

	# The same binary once more would push the one worth going back to out of PATH.prev.
	if [ -e "$output" ] && ! cmp -s "$output" "$building/caddy"; then
		cp -p "$output" "$building/prev"
		mv -f "$building/prev" "$output.prev"
		echo "Kept the binary that stood at $output as $output.prev."
	fi
	mv -f "$building/caddy" "$output"
	echo "Built $output: Caddy $("$output" version | cut -d ' ' -f 1) with $module_id."
}

# The one on PATH, else the version pinned in tests/tools.
find_xcaddy() {
	command -v xcaddy || go -C "$root/tests/tools" tool -n xcaddy
}

rollback() {
	local output=${1:-./caddy}
	[ -f "$output.prev" ] || die "there is no $output.prev to go back to: only a build that replaced a binary leaves one"
	mv -f "$output.prev" "$output"
	echo "$output is again the binary that stood there before."
	echo "In the Caddyfile, change the word cached_http to http (get_certificate http URL) and drop its { } block."
}

case ${1:-} in
-h | --help | help) usage ;;
rollback)
	[ $# -le 2 ] || die "rollback wants one path at most"
	rollback "${2:-}"
	;;
[!-]*) die "there is no command \"$1\"; see ./xcaddy.sh --help" ;;
*) build "$@" ;;
esac
