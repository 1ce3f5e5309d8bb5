# shellcheck shell=bash
# Sourced by the other scripts: what must be installed, and one way to stop. `root` is this repository's folder.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Every tool is looked for before anything is built; a missing or too old one ends with one sentence.
require_tools() {
	local rust_wanted rust_found go_wanted go_found

	command -v cc >/dev/null ||
		die "no C compiler (cc) found: install gcc or clang, on Debian with: apt install build-essential"

	command -v cargo >/dev/null ||
		die "no cargo found: install Rust from https://rustup.rs"
	rust_wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
	rust_found=$(cargo --version 2>/dev/null | cut -d ' ' -f 2) || true
	at_least "$rust_wanted" "$rust_found" ||
		die "Rust $rust_wanted or newer is needed and cargo is ${rust_found:-not usable}: run: rustup update stable"

	go_wanted=$(sed -n 's/^go //p' "$root/go/go.mod")
	command -v go >/dev/null ||
		die "no go found: install Go $go_wanted or newer from https://go.dev/dl"
	# Asked inside the module, where a Go that may fetch a newer one does so and answers as that.
	go_found=$(cd "$root/go" && go env GOVERSION 2>/dev/null | sed -n 's/.*go\([0-9][0-9.]*\).*/\1/p') || true
	at_least "$go_wanted" "$go_found" ||
		die "Go $go_wanted or newer is needed and go is ${go_found:-not usable}: install it from https://go.dev/dl"
}

# at_least WANTED FOUND: whether version FOUND is WANTED or newer.
at_least() {
	[ -n "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

# cargo_build [CARGO FLAGS...]: paths of crates stand in the archive for panics; they are to be the same on every machine.
cargo_build() {
	cargo build --config "build.rustflags=['--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo']" --locked --package cached-http-ffi "$@"
}

# build_archive [CARGO FLAGS...]: builds the Rust library and prints where cargo has put it, which cargo alone knows:
# environment and configuration files may name another target or folder.
build_archive() {
	local archive
	archive=$(cargo_build --message-format=json-render-diagnostics "$@" |
		sed -n 's/.*"filenames":\[[^]]*"\([^"]*libcached_http\.a\)".*/\1/p') || exit 1
	[ -f "$archive" ] || die "the build of cached-http-ffi left no libcached_http.a"
	echo "$archive"
}

# install_if_changed FROM TO: leaves TO and its time alone when it says the same already.
install_if_changed() {
	cmp -s "$1" "$2" && return
	mkdir -p "$(dirname "$2")"
	cp "$1" "$2.new"
	mv -f "$2.new" "$2"
}
