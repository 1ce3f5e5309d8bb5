#!/usr/bin/env bash
# Installs the cargo tools of tests/tools/cargo.txt into build/tools. Nothing else does: a check whose tool is absent
# says so.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
require_tools
cd "$root"

grep -v '^#' tests/tools/cargo.txt | while read -r name version; do
	# Their own target folder, so that the next tool finds what the last one has compiled.
	cargo install --locked --root build/tools --target-dir build/tools/target "$name@$version" </dev/null
done
rm -rf build/tools/target
