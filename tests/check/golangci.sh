#!/usr/bin/env bash
# golangci-lint with .golangci.yml over every Go module. make tools installs it; where it is absent this says so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PATH=$PWD/build/tools/bin:$PATH

command -v golangci-lint >/dev/null || {
	echo "golangci-lint is not installed: skipped (make tools installs it)"
	exit 0
}
status=0
for module in go tests/*/; do
	[ -f "$module/go.mod" ] && [ -n "$(find "$module" -name '*.go' -print -quit)" ] || continue
	(cd "$module" && golangci-lint run --path-mode=abs ./...) || status=1
done
exit $status
