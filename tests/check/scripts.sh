#!/usr/bin/env bash
# The shell scripts: their syntax, shellcheck where it is installed, and what the small ones promise.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

mapfile -t scripts < <(find xcaddy.sh .ci/run tests -name '*.sh' -o -path .ci/run)
for script in "${scripts[@]}"; do bash -n "$script"; done
if command -v shellcheck >/dev/null; then
	shellcheck --severity=warning --external-sources "${scripts[@]}"
else
	echo "shellcheck is not installed: skipped"
fi
tests/check/no_secrets_test.sh
tests/check/xcaddy_test.sh
tests/check/make_help_test.sh
tests/check/missing_library_test.sh
