#!/usr/bin/env bash
# What xcaddy.sh promises, as far as it shows without building a Caddy: the roll-back, the sentences, PATH left alone,
# the archive that is linked. tests/scripts/oldest_caddy.sh shows the rest on a build.
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

printf '#!/bin/sh\necho tls.get_certificate.cached_http\n' >"$folder/caddy.prev"
chmod +x "$folder/caddy.prev"
said=$(./xcaddy.sh rollback "$folder/caddy")
[[ $said != *"to http"* && $said == *validate* ]] || fail "the roll-back takes a binary with the module for one without: $said"

mkdir "$folder/links"
ln -s ../caddy "$folder/links/caddy"
echo older >"$folder/caddy.prev"
./xcaddy.sh rollback "$folder/links/caddy" >/dev/null
[ -L "$folder/links/caddy" ] || fail "the roll-back replaced a symbolic link"
[ "$(cat "$folder/caddy")" = older ] || fail "the roll-back did not follow a symbolic link"
ln -s no/such/caddy "$folder/links/broken"
refused "leads nowhere" ./xcaddy.sh --output "$folder/links/broken"

refused "--output wants a path" ./xcaddy.sh --output
refused "wants the path of a file" ./xcaddy.sh --output "$folder"
refused "Caddy v2.11.4 is too old" env CADDY_VERSION=v2.11.4 ./xcaddy.sh --output "$folder/caddy"
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
[ "$(cat "$folder/caddy")" = older ] || fail "a build that failed changed the binary"

# The scripts over a library that takes a second to build, with what an older cargo build would have left behind.
small=$folder/small
mkdir -p "$small"/{tests,go,src,include,target/release}
cp xcaddy.sh "$small"
cp -r tests/scripts "$small/tests"
cp go/go.mod "$small/go"
echo "void cached_http_new_archive(void);" >"$small/include/cached_http.h"
echo '#[unsafe(no_mangle)] pub extern "C" fn cached_http_new_archive() {}' >"$small/src/lib.rs"
cat >"$small/Cargo.toml" <<TOML
[package]
name = "cached-http-ffi"
version = "0.1.0"
edition = "2024"
rust-version = "1.88"
[lib]
name = "cached_http"
crate-type = ["staticlib", "rlib"]
TOML
cargo generate-lockfile --quiet --offline --manifest-path "$small/Cargo.toml"
echo stale >"$small/target/release/libcached_http.a"

host=$(rustc -vV | sed -n 's/^host: //p')
archive=$small/go/internal/native/lib/$(go env GOOS)_$(go env GOARCH)/libcached_http.a
unset CARGO_TARGET_DIR
CARGO_BUILD_TARGET=$host "$small/tests/scripts/lib.sh" 2>/dev/null
grep -q cached_http_new_archive "$archive" || fail "CARGO_BUILD_TARGET links an archive that cargo did not build"
echo stale >"$archive"
CARGO_TARGET_DIR=$folder/elsewhere "$small/tests/scripts/lib.sh" 2>/dev/null
[ -f "$folder/elsewhere/release/libcached_http.a" ] && grep -q cached_http_new_archive "$archive" || fail "CARGO_TARGET_DIR is not followed"
refused "unset CARGO_BUILD_TARGET" env CARGO_BUILD_TARGET=none-of-ours "$small/tests/scripts/lib.sh"

# One line and no more: cargo, which would print several, was not run.
rm -rf "$small/target"
sed -i.bak 's/^go .*/go 1.999.0/' "$small/go/go.mod"
refused "Go 1.999.0 or newer is needed and go is 1." env GOTOOLCHAIN=local "$small/xcaddy.sh" --output "$folder/caddy"
refused "go is not usable" env GOTOOLCHAIN=go1.999.0 GOPROXY=off "$small/xcaddy.sh" --output "$folder/caddy"
[ ! -e "$small/target" ] || fail "an old Go is noticed after the cargo build only"
echo "xcaddy.sh: as promised"
