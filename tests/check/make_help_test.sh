#!/usr/bin/env bash
# make help names every target that has a description, with nothing but make, sh, echo and awk at hand.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

for tool in make sh awk echo; do ln -s "$(type -P "$tool")" "$folder/$tool"; done
said=$(PATH=$folder make --no-print-directory help)
for target in $(sed -n 's/^\([a-z-]*\):.*## .*/\1/p' Makefile); do
	grep -q "^  make $target " <<<"$said" || {
		printf 'make_help_test.sh: make help does not name %s:\n%s\n' "$target" "$said" >&2
		exit 1
	}
done
echo "make help: as promised"
