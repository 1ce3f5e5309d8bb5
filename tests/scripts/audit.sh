#!/usr/bin/env bash
# audit.sh: known vulnerabilities, licences and sources of what is linked, and the list of it (SBOM) in build/sbom.
# Asks no network. What can't be looked at for want of a tool or of data is named, and is a failure, unless
# --if-present says otherwise.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
require_tools
cd "$root"
PATH=$root/build/tools/bin:$PATH

# A copy of https://github.com/rustsec/advisory-db.
advisories=${CACHED_HTTP_ADVISORIES:-../shared/advisory-db}
max_age_days=90
passed=0 failed=0 absent=0

# check NAME FUNCTION
check() {
	printf '\n%s:\n' "$1"
	if "$2"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# present COMMAND: whether it can be run, else says that it is absent.
present() {
	command -v "$1" >/dev/null && return
	printf '\nabsent: %s (make tools installs it)\n' "$1"
	absent=$((absent + 1))
	return 1
}

vulnerabilities() {
	local id ignored=()
	# The advisories that are accepted, and why, stand in one place.
	for id in $(sed -n 's/.*id = "\(RUSTSEC-[0-9-]*\)".*/\1/p' .deny.toml); do
		echo "accepted in .deny.toml: $id"
		ignored+=(--ignore "$id")
	done
	cargo audit --db "$advisories" --no-fetch --stale --no-yanked --deny warnings --color never \
		"${ignored[@]+"${ignored[@]}"}"
}

age_of_advisories() {
	local newest days
	# The copy carries no date of its own; several advisories come each week.
	newest=$(grep -rhoE '^date = "[0-9]{4}-[0-9]{2}-[0-9]{2}"' "$advisories/crates" | cut -d '"' -f 2 | sort | tail -n 1)
	days=$((($(date +%s) - $(date -d "$newest" +%s)) / 86400))
	echo "the newest advisory in $advisories is of $newest, $days days ago; at most $max_age_days are allowed"
	[ "$days" -le "$max_age_days" ]
}

licences_and_sources() {
	cargo deny --offline --log-level error --config .deny.toml --color never check licenses bans sources
}

sbom() {
	local file=build/sbom/cached-http.cdx.json name=sbom-$$
	mkdir -p build/sbom
	# It can only write beside each Cargo.toml of the workspace. With a fixed time the same tree gives the same file.
	trap 'rm -f rust/*/'"$name"'.json' EXIT
	SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} \
		cargo cyclonedx --quiet --manifest-path rust/ffi/Cargo.toml --format json --spec-version 1.5 --no-build-deps \
		--override-filename "$name" || return
	sed "s|file://$root|file://.|g" "rust/ffi/$name.json" >"$file"
	echo "$file: $(grep -c '^      "purl"' "$file") packages"
}

if [ ! -d "$advisories/crates" ]; then
	printf '\nabsent: the advisories, looked for in %s (CACHED_HTTP_ADVISORIES names another folder)\n' "$advisories"
	absent=$((absent + 1))
elif present cargo-audit; then
	check "vulnerabilities" vulnerabilities
	check "age of the advisories" age_of_advisories
fi
if present cargo-deny; then check "licences, bans and sources" licences_and_sources; fi
if present cargo-cyclonedx; then check "SBOM" sbom; fi

printf '\naudit: %d passed, %d failed, %d skipped\n' "$passed" "$failed" "$absent"
[ "${1:-}" = --if-present ] || failed=$((failed + absent))
[ "$failed" = 0 ]
