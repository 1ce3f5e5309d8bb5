#!/usr/bin/env bash
# What xcaddy.sh promises, as far as it shows without a build: the roll-back, the sentences, PATH left alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
	echo "xcaddy_test.sh: $*" >&2
	exit 1
}

# refused WORDS COMMAND...: exits 1 with one line that holds the words.
refused() {
	local words=$1 said
	shift
	said=$("$@" 2>&1) && fail "no error from: $*"
	[ "$(wc -l <<<"$said")" = 1 ] && [[ $said == *"$words"* ]] || fail "expected one line with \"$words\", got: $said"
}

echo old >"$folder/caddy.prev"
echo new >"$folder/caddy"
said=$(./xcaddy.sh rollback "$folder/caddy")
[ "$(cat "$folder/caddy")" = old ] || fail "the roll-back did not put the old binary back"
[[ $said == *"cached_http to http"* ]] || fail "the roll-back does not say which word to change: $said"
refused "no $folder/caddy.prev to go back to" ./xcaddy.sh rollback "$folder/caddy"
[ "$(cat "$folder/caddy")" = old ] || fail "a refused roll-back changed the binary"

refused "--output wants a path" ./xcaddy.sh --output
refused "wants the path of a file" ./xcaddy.sh --output "$folder"
[[ $(./xcaddy.sh --help) == *rollback* ]] || fail "--help does not name the roll-back"

# A PATH with all the usual tools but one.
for missing in cc cargo go; do
	mkdir "$folder/without-$missing"
	for tool in bash dirname cat sed cut sort head cc cargo go; do
		[ "$tool" = "$missing" ] || ln -s "$(command -v "$tool")" "$folder/without-$missing/$tool"
	done
	refused "no " env PATH="$folder/without-$missing" ./xcaddy.sh --output "$folder/caddy"
	refused ": install" env PATH="$folder/without-$missing" ./xcaddy.sh --output "$folder/caddy"
done
[ "$(cat "$folder/caddy")" = old ] || fail "a build that failed changed the binary"
echo "xcaddy.sh: as promised"
