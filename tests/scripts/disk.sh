#!/usr/bin/env bash
# What the disk store promises, each with its figure: kills and errors at every system call of a write, damage, other
# processes, the limit. DISK_PROOFS=full for full size, some minutes.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
require_tools
cd "$root"
command -v strace >/dev/null || echo "strace is missing: kills and errors are skipped; on Debian: apt install strace" >&2

cargo test --locked -p cached-http-core --test disk -- --nocapture --test-threads=2 |
	grep -vE '^(test |running |$)'
