#!/usr/bin/env bash
# release.sh VERSION: what is published of a version, in dist/: a Go module proxy's tree whose module has the Rust archive in
# it, a finished Caddy, a bill of materials, notes and checksums. The same commit gives the same bytes.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
require_tools
cd "$root"

version=${1:-}
[[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || die "name the version: make release VERSION=v1.2.3"
crate=v$(project_version)
[ "$version" = "$crate" ] || die "Cargo.toml is of $crate: set its version, run make header, and commit both"
notes=$(awk -v wanted="## ${version#v}" '
	index($0, "## ") == 1 { found = $0 == wanted || index($0, wanted " ") == 1; next }
	found { print }' CHANGELOG.md)
[ -n "$notes" ] || die "CHANGELOG.md has no heading \"## ${version#v}\" with text below it"
[ -z "$(git status --porcelain)" ] || die "the tree has changes that no commit has: commit or remove them, see git status"
time=$(git log -1 --format=%ct)
platform=$(go env GOOS)_$(go env GOARCH)

dist=$root/dist
rm -rf "$dist"
mkdir -p "$dist/proxy"
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# The module: what git has of go/ but for tests and what only they use, and the archive.
tests/scripts/lib.sh
mkdir "$work/module"
git archive HEAD go | tar -x -C "$work/module" --strip-components=1
find "$work/module" \( -name '*_test.go' -o -name 'test*' -type d -o -name storetest \) -prune -exec rm -rf {} +
cp LICENSE "$work/module/"
native=$work/module/internal/native
mkdir -p "$native/lib"
cp -r "go/internal/native/lib/$platform" "$native/lib/"
# LIBRARIES: a folder of what other machines have built, GOOS_GOARCH/libcached_http.a, GOOS_GOARCH_musl/libcached_http.a.
for library in ${LIBRARIES:+"$LIBRARIES"/*_*}; do
	[ -d "$native/lib/${library##*/}" ] || cp -r "$library" "$native/lib/"
done
for library in "$native"/lib/*; do
	write_package "${library##*/}" "$library/doc.go"
	write_digest "$library/libcached_http.a" "${library##*/}" "$native/archive_digest_${library##*/}.go"
done
go -C tests/release build -o "$work/release" .
"$work/release" proxy "$module" "$version" "$work/module" "$time" "$dist/proxy"

# The Caddy: built as a user builds it, from that tree.
xcaddy=$(find_xcaddy)
# xcaddy's own flags, without a build ID, which says where the module cache is.
export XCADDY_GO_BUILD_FLAGS="-ldflags '-w -s -buildid=' -trimpath -tags nobadger,nomysql,nopgx"
from_release "$dist" "$work/modules" "$xcaddy" build "$(newest_caddy)" --output "$work/caddy" --with "$module@$version"
glibc=$(objdump -T "$work/caddy" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -n 1) || true # none on macOS
"$work/caddy" list-modules | grep -x tls.get_certificate.cached_http >/dev/null || die "the finished Caddy lacks the module"

name=caddy-cached-http-$version-$platform
# NAME VERSION LICENCE of each crate that is in the library; a slash is cargo's former way to write OR.
cargo tree --locked --package cached-http-ffi --edges normal,no-proc-macro --no-dedupe --target "$(rust_target)" \
	--prefix none --format '{p}|{l}' | sed -E 's/^([^ ]+) v([^ |]+)[^|]*\|(.*)$/\1 \2 \3/; s# ?/ ?# OR #g' |
	sort -u >"$work/crates"
cargo metadata --locked --format-version 1 >"$work/metadata"

mkdir "$work/$name"
cp "$work/caddy" "$work/$name/"
# The README, and what it leads to.
git archive HEAD README.md LICENSE SECURITY.md CHANGELOG.md CONTRIBUTING.md docs tests/README.md | tar -x -C "$work/$name"
"$work/release" notices "$work/caddy" "$work/modules" "$work/metadata" <"$work/crates" >"$work/$name/THIRD_PARTY.txt"
tar -c -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$time" "$name" |
	gzip -n -9 >"$dist/$name.tar.gz"
"$work/release" sbom "$version" "$time" "$work/caddy" "$(rustc --version | cut -d ' ' -f 2)" \
	<"$work/crates" >"$dist/$name.cdx.json"
{
	printf '%s\n\n### What there is\n\n' "$notes"
	echo "- A finished Caddy $(newest_caddy) for $platform${glibc:+, which needs ${glibc/_/ }}."
	echo "- The module, with the library for $(basename -a "$native"/lib/* | paste -sd ' ' -)."
} >"$dist/NOTES.md"
(cd "$dist" && find . -type f ! -name SHA256SUMS | sort | sed 's|^\./||' | xargs sha256sum >SHA256SUMS)
du -ah "$dist" | sort -k 2
