#!/usr/bin/env bash
# header.sh: include/cached_http.h and the Go package's counters are what rust/ffi generates, the Go package's copy of
# the header is the same, and both carry the version of Cargo.toml. header.sh write: makes it so.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/tools.sh"
cd "$root"

header=include/cached_http.h
copy=go/internal/native/cached_http.h
counters=go/internal/native/counters_generated.go

# The build script leaves the header in a folder of its own, which only cargo knows. A build is a matter of
# moments after make lib.
out_folder=$(cargo_build --release --message-format=json |
	sed -n '/"reason":"build-script-executed"/s/.*cached-http-ffi.*"out_dir":"\([^"]*\)".*/\1/p')
generated=$out_folder/cached_http.h
[ -f "$generated" ] || die "the build of cached-http-ffi left no cached_http.h"

if [ "${1:-}" = write ]; then
	install_if_changed "$generated" "$header"
	install_if_changed "$generated" "$copy"
	install_if_changed "$out_folder/counters_generated.go" "$counters"
fi

diff -u "$header" "$generated" || die "$header is not what rust/ffi generates: run make header"
diff -u "$header" "$copy" || die "$copy is not the same as $header: run make header"
diff -u "$counters" "$out_folder/counters_generated.go" ||
	die "$counters is not what rust/ffi generates: run make header"

version=$(project_version)
grep -qF "#define CACHED_HTTP_VERSION \"$version\"" "$header" ||
	die "$header does not define CACHED_HTTP_VERSION \"$version\", the version in Cargo.toml"
