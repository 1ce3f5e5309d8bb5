#!/usr/bin/env bash
# Installs the tools of tests/tools/tools.txt into build/tools. Nothing else does: a check whose tool is absent says so.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
require_tools
cd "$root"

grep -v '^#' tests/tools/tools.txt | while read -r kind name version; do
	echo "$name $version"
	case $kind in
	# Their own target folder, so that the next tool finds what the last one has compiled.
	cargo) cargo install --quiet --locked --root build/tools --target-dir build/tools/target "$name@$version" </dev/null ;;
	go) GOBIN=$root/build/tools/bin go install "$name@$version" ;;
	esac
done
rm -rf build/tools/target
