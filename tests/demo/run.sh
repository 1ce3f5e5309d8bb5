#!/usr/bin/env bash
# Builds a Caddy with the module and the demo, then runs the demo. KEEP=1 leaves both servers up.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/tools.sh"
require_tools
cd "$root"
mkdir -p build

echo "Building the Rust library and Caddy: some minutes the first time, then seconds."
./xcaddy.sh --output build/caddy >build/demo-build.log 2>&1 || {
	tail -n 20 build/demo-build.log >&2
	die "the build failed; all it said is in build/demo-build.log"
}
go -C tests/demo build -o "$root/build/demo" .
exec build/demo -caddy build/caddy -files tests/demo
