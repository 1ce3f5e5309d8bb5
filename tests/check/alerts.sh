#!/usr/bin/env bash
# The alert rules are valid, and name metrics that there are.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

rules=docs/alerts.yml
unknown=$(grep -oE 'caddy_cached_http_[a-z_]+' "$rules" | sort -u | sed 's/^caddy_cached_http_//' |
	while read -r name; do grep -qF "\"$name\"" go/metrics.go || echo "$name"; done)
[ -z "$unknown" ] || { printf '%s names metrics that go/metrics.go does not have:\n%s\n' "$rules" "$unknown" >&2; exit 1; }
if command -v promtool >/dev/null; then
	promtool check rules "$rules"
else
	echo "absent: promtool, so the syntax of $rules is not checked (Debian: apt install prometheus)"
fi
