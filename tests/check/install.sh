#!/usr/bin/env bash
# Workflows and the Dockerfile of docs/install, by linters where they are installed (make tools installs actionlint).
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/tools.sh"
cd "$root"
PATH=$PWD/build/tools/bin:$PATH

lint() { # LINTER FILE...
	if command -v "$1" >/dev/null; then "$@"; else echo "$1 is not installed: skipped"; fi
}
lint actionlint .github/workflows/*.yml
lint hadolint docs/install/Dockerfile
# The image has what the release has, under the names that it has them.
grep -q 'ADD caddy-cached-http-${VERSION}-linux_amd64.tar.gz' docs/install/Dockerfile
grep -q 'name=caddy-cached-http-$version-$platform' tests/scripts/release.sh
version=$(project_version)
for file in docs/install.md docs/install/Dockerfile; do
	grep -q "v$version" "$file" || {
		echo "$file names another version than Cargo.toml, $version" >&2
		exit 1
	}
done
echo "install pages: as promised"
