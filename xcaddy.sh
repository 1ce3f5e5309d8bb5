#!/usr/bin/env bash
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tests/scripts/tools.sh"

module_id=tls.get_certificate.cached_http
smallest_caddy=$(smallest_caddy)
caddy_version=v2.11.9

usage() {
	cat <<TEXT
Usage:
  ./xcaddy.sh [--output PATH] [xcaddy build flags]
      Builds a Caddy with tls.get_certificate.cached_http (default: ./caddy). Further flags go to xcaddy:
        --with MODULE[@VERSION][=REPLACEMENT]    one more plugin; may be repeated
        --replace MODULE[@VERSION]=REPLACEMENT   another version or a local copy of a Go module
      A binary that stood at PATH is kept as PATH.prev; the new one gets its owner, mode and capabilities. If PATH is a
      symbolic link, what it points at is replaced, as "caddy upgrade" does. If anything fails, nothing at PATH changes.

  ./xcaddy.sh rollback [PATH]
      Puts PATH.prev back (default: ./caddy.prev) and says what to do about the Caddyfile.

Environment:
  CADDY_VERSION   which Caddy to build (default: $caddy_version; $smallest_caddy or later)
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
	output=$(resolve "$output")

	caddy_version=${CADDY_VERSION:-$caddy_version}
	# A branch or a commit is taken as it is.
	[[ ! $caddy_version =~ ^v[0-9.]+$ ]] || at_least "$smallest_caddy" "$caddy_version" ||
		die "Caddy $caddy_version is too old for $module_id: CADDY_VERSION must be $smallest_caddy or later"
	require_tools
	"$root/tests/scripts/lib.sh"

	# Beside PATH, so that the last step is a rename: whoever looks at PATH finds the old binary or the new one.
	mkdir -p "$(dirname "$output")"
	building=$(mktemp -d "$(dirname "$output")/.xcaddy.XXXXXX")
	trap 'rm -rf "$building"' EXIT
	trap 'exit 130' INT TERM

	# Without cgo the module would be left out; xcaddy switches it off unless told.
	export CGO_ENABLED=1 CADDY_VERSION=$caddy_version
	# xcaddy's own flags, and the tag.
	[[ $(rust_target) != *-musl ]] ||
		export XCADDY_GO_BUILD_FLAGS="${XCADDY_GO_BUILD_FLAGS:--ldflags '-w -s' -trimpath -tags nobadger,nomysql,nopgx,musl}"
	local xcaddy modules
	xcaddy=$(find_xcaddy) || die "no xcaddy: neither one on PATH nor the one that tests/tools pins"
	# A made-up version: with none, Go would ask the network which ones there are, only to take the local folder.
	"$xcaddy" build --output "$building/caddy" --with "$module@v0.0.0=$root/go" "${flags[@]+"${flags[@]}"}" ||
		die "the build failed, see above; $output was left as it was"

	modules=$("$building/caddy" list-modules) || die "the new binary does not run; $output was left as it was"
	grep -qx "$module_id" <<<"$modules" || die "the new binary lacks $module_id; $output was left as it was"

	local built
	built=$("$building/caddy" version | cut -d ' ' -f 1)

	if [ -e "$output" ]; then
		keep_attributes "$output" "$building/caddy"
		# The same binary once more would push the one worth going back to out of PATH.prev.
		cmp -s "$output" "$building/caddy" || keep_binary "$output"
	fi
	mv -f "$building/caddy" "$output"
	echo "Built $output: Caddy $built with $module_id."
}

# resolve PATH: the file that a build replaces, with a slash in it, so that no shell looks for it on PATH.
resolve() {
	local path=$1
	[[ $path == */* ]] || path=./$path
	if [ -L "$path" ]; then
		path=$(readlink -f "$path") || die "$1 is a symbolic link that leads nowhere: remove it"
	fi
	printf '%s\n' "$path"
}

# keep_attributes FROM TO: without its capabilities, a Caddy that is not root could not listen on port 443.
keep_attributes() {
	[ "$(uname)" = Linux ] || return 0
	cp --attributes-only --preserve=mode,ownership,xattr "$1" "$2" ||
		die "the mode, owner or capabilities of $1 could not be given to the new binary; $1 was left as it was: run as root"
}

# keep_binary PATH: a second name for the same file keeps everything about it.
keep_binary() {
	ln "$1" "$building/prev" 2>/dev/null || cp -p "$1" "$building/prev"
	mv -f "$building/prev" "$1.prev"
	echo "Kept the binary that stood at $1 as $1.prev."
}

rollback() {
	local output
	output=$(resolve "${1:-./caddy}")
	[ -f "$output.prev" ] || die "there is no $output.prev to go back to: only a build that replaced a binary leaves one"
	mv -f "$output.prev" "$output"
	echo "$output is again the binary that stood there before."
	if "$output" list-modules 2>/dev/null | grep -x "$module_id" >/dev/null; then
		echo "It has $module_id: ask its validate whether the Caddyfile has options that it does not know, then restart it."
	else
		echo "It lacks $module_id. In the Caddyfile, change the word cached_http to http (get_certificate http URL) and drop its { } block."
	fi
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
