# shellcheck shell=bash
# Sourced by the other scripts: what must be installed, and one way to stop. `root` is this repository's folder.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Every tool is looked for before anything is built; a missing or too old one ends with one sentence.
require_tools() {
	local rust_wanted rust_found

	command -v cc >/dev/null ||
		die "no C compiler (cc) found: install gcc or clang, on Debian with: apt install build-essential"

	command -v cargo >/dev/null ||
		die "no cargo found: install Rust from https://rustup.rs"
	rust_wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
	rust_found=$(cargo --version 2>/dev/null | cut -d ' ' -f 2)
	at_least "$rust_wanted" "$rust_found" ||
		die "Rust $rust_wanted or newer is needed and cargo is ${rust_found:-not usable}: run: rustup update stable"

	command -v go >/dev/null ||
		die "no go found: install Go $(go_wanted) or newer from https://go.dev/dl"
	# Run inside the module, where Go itself knows whether it is new enough and may fetch a newer one.
	(cd "$root/go" && go version) >/dev/null 2>&1 ||
		die "Go $(go_wanted) or newer is needed and the one on PATH is older: install it from https://go.dev/dl"
}

go_wanted() {
	sed -n 's/^go //p' "$root/go/go.mod"
}

# at_least WANTED FOUND: whether version FOUND is WANTED or newer.
at_least() {
	[ -n "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

# install_if_changed FROM TO: leaves TO and its time alone when it says the same already.
install_if_changed() {
	cmp -s "$1" "$2" && return
	mkdir -p "$(dirname "$2")"
	cp "$1" "$2.new"
	mv -f "$2.new" "$2"
}
