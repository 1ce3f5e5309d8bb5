#!/usr/bin/env bash
# The library for musl, as Alpine has it, beside the one of this machine with glibc: its ABI, its panics, the Go package over it,
# and a Caddy. Leaves the library where the Go package looks for it.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
require_tools
cd "$root"
command -v musl-gcc >/dev/null || die "no musl-gcc found: on Debian, apt install musl-tools"
CARGO_BUILD_TARGET=$(uname -m)-unknown-linux-musl
export CARGO_BUILD_TARGET
[ -d "$(rustc --print sysroot)/lib/rustlib/$CARGO_BUILD_TARGET" ] ||
	die "no Rust for musl found: rustup target add $CARGO_BUILD_TARGET"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tests/scripts/lib.sh
tests/abi/run.sh musl
cargo test --locked --package cached-http-ffi --features failpoints --test panics
# Debian's musl-gcc makes the table that unwinding needs only if told; Alpine's gcc does so by itself.
export CC=musl-gcc CGO_LDFLAGS="-O2 -g -Wl,--eh-frame-hdr"
go -C go test -count=1 -tags musl ./internal/native ./internal/store
./xcaddy.sh --output "$work/caddy"
readelf --program-headers "$work/caddy" | grep 'interpreter: /lib/ld-musl' >/dev/null || die "the Caddy is not one for musl"
CC=cc try_caddy "$work/caddy"
said=$(go -C go build -o "$work/none" ./internal/native 2>&1) && die "without the tag it builds, too"
[[ $said == *"build with the tag musl"* ]] || die "without the tag nothing says what to do: $said"
echo "musl: as promised"
