#!/usr/bin/env bash
# Builds the Rust archive and puts it and its digest where the Go package looks for them.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
require_tools

platform=$(go env GOOS)_$(go env GOARCH)
[ "$platform" = "$(go env GOHOSTOS)_$(go env GOHOSTARCH)" ] ||
	die "cannot build the Rust library for $platform on this machine: unset GOOS and GOARCH"

host=$(rustc -vV | sed -n 's/^host: //p')
[ "${CARGO_BUILD_TARGET:-$host}" = "$host" ] ||
	die "cannot build the Rust library for $CARGO_BUILD_TARGET on this machine: unset CARGO_BUILD_TARGET"

cd "$root"
native=go/internal/native
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
archive=$work/libcached_http.a
tests/scripts/one_object.sh "$(build_archive --release)" "$archive"
install_if_changed "$archive" "$native/lib/$platform/libcached_http.a"

write_digest "$archive" "$work/archive_digest.go"
install_if_changed "$work/archive_digest.go" "$native/archive_digest.go"
