#!/usr/bin/env bash
# fuzz.sh [TARGET...]: each fuzz target for a minute, for half an hour with LONG=1, or FUZZ_SECONDS. Prints what each
# has run and reached, and fails on a finding, which stays in build/fuzz/findings.
#
# MERGE=1: adds to the corpora in the repository what reaches more code, no more than it takes.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
require_tools
cd "$root"
PATH=$root/build/tools/bin:$PATH

if ! command -v cargo-fuzz >/dev/null; then
	message="absent: cargo-fuzz, so nothing is fuzzed (make tools installs it)"
	[ "${1:-}" = --if-present ] && echo "$message" && exit
	die "$message"
fi
[ "${1:-}" = --if-present ] && shift
[ $# -gt 0 ] || set -- bundle freshness disk_entry server_name

seconds=${FUZZ_SECONDS:-60}
[ -z "${LONG:-}" ] || seconds=${FUZZ_SECONDS:-1800}
findings=$root/build/fuzz/findings
host=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p "$findings"
failed=0 table=

# fuzz TARGET ARGUMENTS...: the sanitizer and its counters ask for a nightly compiler, or this word.
fuzz() {
	local target=$1
	shift
	RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$root/build/fuzz/target cargo fuzz run --fuzz-dir rust/fuzz \
		--target "$host" "$target" "$@"
}

for target in "$@"; do
	seeds=rust/fuzz/corpus/$target
	[ -d "$seeds" ] || die "no target $target: there is $(ls -m rust/fuzz/corpus)"
	# What is found goes into the first folder.
	found=build/fuzz/corpus/$target log=build/fuzz/$target.log
	mkdir -p "$found"
	echo "== $target, $seconds s"
	if fuzz "$target" "$found" "$seeds" -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
		-max_len=16384 -artifact_prefix="$findings/$target-" -print_final_stats=1 >"$log" 2>&1; then
		verdict=ok
	else
		verdict=FOUND failed=$((failed + 1))
		tail -n 60 "$log"
	fi
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	edges=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | cut -d ' ' -f 2)
	table+=$(printf '%-12s %-6s %10s runs %6s edges' "$target" "$verdict" "${runs:-?}" "${edges:-?}")$'\n'
	if [ -n "${MERGE:-}" ]; then
		fuzz "$target" "$seeds" "$found" -- -merge=1 -max_len=16384 >>"$log" 2>&1 || die "merging failed: see $log"
	fi
done

printf '\n%sfuzz: %d targets, %d with a finding\n' "$table" $# "$failed"
[ "$failed" = 0 ] || echo "each finding is a file in build/fuzz/findings: RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir rust/fuzz TARGET FILE"
exit $((failed > 0))
