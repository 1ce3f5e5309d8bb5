#!/usr/bin/env bash
# The release of a clone, and what users do with it, without Rust: xcaddy build --with, beside another module, with the
# smallest Caddy, and what a machine is told that lacks something. The end-to-end suite runs on what a user has built. With
# TWICE=1 a second clone must give the same bytes.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
require_tools
cd "$root"
version=v$(project_version)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# clone NAME: what would be released if all were committed, as the suite below is that of the working tree, and if the
# changelog had the version.
clone() {
	git clone -q "$root" "$work/$1"
	git diff --binary HEAD >"$work/changes"
	[ ! -s "$work/changes" ] || git -C "$work/$1" apply "$work/changes"
	git ls-files -z --others --exclude-standard | tar -c --null -T - | tar -x -C "$work/$1"
	git -C "$work/$1" config user.email test@example.com
	git -C "$work/$1" config user.name test
	sed -i "0,/^## Unreleased/s//## Unreleased\n\n## ${version#v} (2026-01-01)/" "$work/$1/CHANGELOG.md"
}
commit() {
	git -C "$work/$1" add --all
	GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z' git -C "$work/$1" commit -qm "Release $version"
}
# refused WORDS COMMAND...: it fails, and says so.
refused() {
	local words=$1 said
	shift
	said=$("$@" 2>&1) && die "this was not refused: $*"
	[[ $said == *"$words"* ]] || die "expected \"$words\", got: $(tail -n 5 <<<"$said")"
}

clone first
refused "changes that no commit has" "$work/first/tests/scripts/release.sh" "$version"
commit first
refused "Cargo.toml is of" "$work/first/tests/scripts/release.sh" v9.9.9
refused "name the version" "$work/first/tests/scripts/release.sh"
CARGO_TARGET_DIR=${RELEASE_TARGET_DIR:-$root/target} make --no-print-directory -C "$work/first" release VERSION="$version"
dist=$work/first/dist
(cd "$dist" && sha256sum --quiet -c SHA256SUMS)
grep -q "^- " "$dist/NOTES.md" || die "the notes say nothing"
tail -n 3 "$dist/NOTES.md"
! LC_ALL=C grep -aq -e "$work" -e "$HOME/" "$dist"/*.tar.gz || die "a path of this machine is in the release"
if [ -n "${TWICE:-}" ]; then
	clone second
	commit second
	CARGO_TARGET_DIR=$work/target make --no-print-directory -C "$work/second" release VERSION="$version" >/dev/null
	diff -r "$dist" "$work/second/dist" || die "two clones of one commit gave different releases"
	echo "two clones: the same bytes"
fi

# A user's machine: no Rust, nothing downloaded yet.
without_rust=$work/path
mkdir "$without_rust"
IFS=: read -ra folders <<<"$PATH"
for folder in "${folders[@]}"; do
	for tool in "$folder"/*; do
		name=${tool##*/}
		[[ ! -x $tool || $name == cargo* || $name == rust* || -e $without_rust/$name ]] || ln -s "$tool" "$without_rust/$name"
	done
done
# The tag gives Go the very module that dist/ has, as a repository does without a proxy.
(cd "$work/first" && tests/scripts/tag_module.sh "$version")
digest() { # what go.sum has of the module, with these settings
	env "$@" go -C "$work" mod download -json "$module@$version" | sed -n 's/^\t"Sum": "\(.*\)",$/\1/p'
}
printf '[url "file://%s/first"]\n\tinsteadOf = https://github.com/cached-http/caddy-cached-http\n' "$work" >"$work/gitconfig"
by_tag=$(digest GOPROXY=direct GONOSUMDB="$module" GOFLAGS=-modcacherw GOMODCACHE="$work/tagged" GIT_CONFIG_GLOBAL="$work/gitconfig")
by_proxy=$(digest GOPROXY="file://$dist/proxy" GONOSUMDB="$module" GOFLAGS=-modcacherw GOMODCACHE="$work/proxied")
[[ -n $by_tag && $by_tag = "$by_proxy" ]] || die "the tag is of another module than dist/: $by_tag, $by_proxy"
xcaddy=$(find_xcaddy)
users() { from_release "$dist" "$work/modules" env PATH="$without_rust" "$@"; }
! users sh -c "command -v cargo" || die "cargo is still on the path"
built() { # OUTPUT VERSION FLAGS...
	local output=$work/$1 caddy=$2
	shift 2
	users "$xcaddy" build "$caddy" --output "$output" --with "$module@$version" "$@" >"$work/build.log" 2>&1 || {
		tail -n 20 "$work/build.log" >&2
		die "the user's build failed: xcaddy build $caddy $*"
	}
	"$output" list-modules | grep -x tls.get_certificate.cached_http >/dev/null || die "the user's Caddy lacks the module"
}
newest=$(newest_caddy)
built caddy "$newest" --with github.com/pberkel/caddy-storage-redis@v1.8.1 \
	--with "${module%/go}/tests/faultstorage@v0.0.0=$root/tests/faultstorage"
built caddy-smallest "$(smallest_caddy)"
"$work/caddy" list-modules | grep -x caddy.storage.redis >/dev/null || die "the user's Caddy lacks the other module"
du -h "$dist/proxy/$module/@v/$version.zip"

# A user's own main module, with a vendor folder.
mkdir "$work/vendored"
printf 'package main\n\nimport _ "%s"\n\nfunc main() {}\n' "$module" >"$work/vendored/main.go"
(
	cd "$work/vendored"
	users go mod init example.com/vendored
	users go get "$module@$version"
	users go mod vendor
	# The package that links the library: cgo does so before Go does.
	users env CGO_ENABLED=1 go build -mod=vendor "$module/internal/native"
) >"$work/vendor.log" 2>&1 || die "a vendor folder lacks what it takes: $(tail -n 5 "$work/vendor.log")"

tar -x -C "$work" -f "$dist"/caddy-cached-http-*.tar.gz
for page in README.md docs/install.md docs/operations.md; do
	(
		cd "$work"/caddy-cached-http-*/
		cd "$(dirname "$page")"
		grep -oE '\]\([^)#:]+' "$(basename "$page")" | cut -c 3- | grep -v '^http' | xargs ls >/dev/null
	) || die "$page leads to what is not in the archive"
done

# What a machine is told that lacks something.
grep -q "Permission is hereby granted" "$work"/caddy-cached-http-*/THIRD_PARTY.txt || die "the licences are not handed on"
refused "needs cgo" users env CGO_ENABLED=0 "$xcaddy" build "$newest" --output "$work/none" --with "$module@$version"
[[ $(cd go && GOOS=freebsd CGO_ENABLED=1 go list -f '{{.CgoFiles}}' ./internal/native) == *link_other.go* ]] ||
	die "a platform without a library is not told so"

finished=$(echo "$work"/caddy-cached-http-*/caddy)
try_caddy "$finished"
CACHED_HTTP_CADDY=$work/caddy go -C tests/e2e test -count=1 -timeout=15m ./...

# The unit of docs/install, as far as it can be looked at here; and the finished Caddy under the same restrictions.
if command -v systemd-analyze >/dev/null; then
	sed "s#/usr/local/bin/caddy#$finished#" docs/install/caddy.service >"$work/caddy.service"
	systemd-analyze verify "$work/caddy.service"
else
	echo "skipped: there is no systemd-analyze; the unit is not looked at"
fi
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	tests/scripts/restricted.sh "$finished"
else
	echo "skipped: it takes root and setpriv to try Caddy as a service without rights"
fi
echo "release $version: as promised"
