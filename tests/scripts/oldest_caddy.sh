#!/usr/bin/env bash
# The oldest Caddy that go.mod allows: built by xcaddy.sh in the places where an operator's Caddy stands, and tried by
# the end-to-end suite but for its storms. The suite by itself takes the newest.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
require_tools
cd "$root"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

CADDY_VERSION=$(smallest_caddy)
export CADDY_VERSION

# built WORDS FOLDER OUTPUT: xcaddy.sh --output OUTPUT, run in FOLDER, says so.
built() {
	local said
	said=$(cd "$2" && "$root/xcaddy.sh" --output "$3" 2>"$work/build.log") || {
		tail -n 20 "$work/build.log" >&2
		die "the build of $3 failed"
	}
	[[ $said == *"$1"* ]] || die "expected \"$1\", got: $said"
}

# A name without a slash is the file here, whatever PATH has by that name.
mkdir "$work/path" "$work/plain"
printf '#!/bin/sh\necho v0.0.0 of another Caddy\n' >"$work/path/caddy-here"
chmod +x "$work/path/caddy-here"
PATH=$work/path:$PATH built "Built ./caddy-here: Caddy $CADDY_VERSION" "$work/plain" caddy-here

# A symbolic link stays one; what it points at keeps mode and capabilities, and so does the binary set aside.
mkdir "$work/installed"
cp "$(type -P true)" "$work/installed/caddy-1"
chmod 750 "$work/installed/caddy-1"
ln -s caddy-1 "$work/installed/caddy"
capabilities=
if [ "$(id -u)" = 0 ] && command -v setcap >/dev/null; then
	setcap cap_net_bind_service=+ep "$work/installed/caddy-1"
	capabilities=$(getcap "$work/installed/caddy-1")
	capabilities=${capabilities#"$work/installed/caddy-1"}
else
	echo "capabilities not tried: that takes root, and setcap"
fi
built "Built $work/installed/caddy-1: Caddy $CADDY_VERSION" . "$work/installed/caddy"
[ "$(readlink "$work/installed/caddy")" = caddy-1 ] || die "the symbolic link was replaced"
for binary in "$work/installed/caddy-1" "$work/installed/caddy-1.prev"; do
	[ "$(stat -c %a "$binary")" = 750 ] || die "$(basename "$binary") lost its mode"
	[ -z "$capabilities" ] || [ "$(getcap "$binary")" = "$binary$capabilities" ] ||
		die "$(basename "$binary") lost its capabilities"
done
./xcaddy.sh rollback "$work/installed/caddy" >/dev/null
cmp -s "$work/installed/caddy" "$(type -P true)" || die "the roll-back did not put the old binary back"
echo "xcaddy.sh: builds, keeps and rolls back as promised"

CACHED_HTTP_CADDY=$work/plain/caddy-here go -C tests/e2e test -count=1 -timeout=15m \
	-skip 'Storm|HerdLosesItsLeader|ManyReloads' ./...
echo "Caddy $CADDY_VERSION: as promised"
