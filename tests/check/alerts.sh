#!/usr/bin/env bash
# The alert rules are valid and fire as tests/check/alerts.test.yml says, at their real times. That they fire on a real
# Caddy, and name metrics that there are, Go tests show.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! command -v promtool >/dev/null; then
	echo "absent: promtool, so docs/alerts.yml is not checked (Debian: apt install prometheus)"
	exit 0
fi
promtool check rules docs/alerts.yml
promtool test rules tests/check/alerts.test.yml
