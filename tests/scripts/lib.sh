#!/usr/bin/env bash
# Builds the Rust archive and puts it and its digest where the Go package looks for them. On a machine with glibc,
# CARGO_BUILD_TARGET may name the same machine with musl.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
require_tools

platform=$(go env GOOS)_$(go env GOARCH)
[ "$platform" = "$(go env GOHOSTOS)_$(go env GOHOSTARCH)" ] ||
	die "cannot build the Rust library for $platform on this machine: unset GOOS and GOARCH"

host=$(rustc -vV | sed -n 's/^host: //p')
target=$(rust_target)
[[ $target == "$host" || $target == "${host%-gnu}-musl" ]] ||
	die "cannot build the Rust library for $target on this machine: unset CARGO_BUILD_TARGET"
[[ $target != *-musl ]] || platform+=_musl

cd "$root"
native=go/internal/native
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
archive=$work/libcached_http.a
tests/scripts/one_object.sh "$(build_archive --release)" "$archive"
install_if_changed "$archive" "$native/lib/$platform/libcached_http.a"
write_package "$platform" "$work/doc.go"
install_if_changed "$work/doc.go" "$native/lib/$platform/doc.go"

write_digest "$archive" "$platform" "$work/archive_digest.go"
install_if_changed "$work/archive_digest.go" "$native/archive_digest_$platform.go"
