#!/usr/bin/env bash
# no_secrets.sh [--needles FILE] FILE...
#
# Fails if a log holds PEM text (a key or a certificate: neither belongs in one) or one of the needles: texts that
# a test has planted, one a line. Names file and line, never what stands there.
set -euo pipefail

needles=
if [ "${1:-}" = --needles ]; then
	needles=$2
	shift 2
fi
[ $# -gt 0 ] || {
	echo "no_secrets.sh: no file to look through" >&2
	exit 2
}

status=0
report() {
	cut -d : -f 1,2 | sed "s/\$/: $1/" >&2
	status=1
}

found=$(grep -aHnE -e '-----BEGIN [A-Z0-9 ]+-----' "$@" || [ $? -eq 1 ])
[ -z "$found" ] || report "PEM text" <<<"$found"

if [ -n "$needles" ]; then
	# An empty line would match everything.
	found=$(grep -v '^$' "$needles" | grep -aHnF -f - "$@" || [ $? -eq 1 ])
	[ -z "$found" ] || report "a planted secret" <<<"$found"
fi
exit $status
