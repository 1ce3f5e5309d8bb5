#!/usr/bin/env bash
# run.sh check: the lints CI runs. run.sh test: those, and every suite of this repository.
#
# A step that fails does not stop the others: one run shows everything that is wrong. Each step's output is shown
# as it comes and kept in build/logs.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
require_tools
cd "$root"

logs=$root/build/logs
rm -rf "$logs"
mkdir -p "$logs"
passed=0 failed=0 table=

# step NAME COMMAND...
step() {
	local name=$1 begin=$SECONDS verdict=ok
	shift
	printf '\n== %s\n' "$name"
	if "$@" </dev/null 2>&1 | tee "$logs/$name.log"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1)) verdict=FAILED
	fi
	printf -- '-- %s: %s after %d s\n' "$name" "$verdict" $((SECONDS - begin))
	table+=$(printf '%-22s %-6s %4d s' "$name" "$verdict" $((SECONDS - begin)))$'\n'
}

finish() {
	printf '\n== closing lines of each runner\n'
	for log in "$logs"/*.log; do
		grep -E '^(test result:|ok  	|FAIL	|--- FAIL|[a-z]*:? ?[0-9]+ passed, [0-9]+ failed)' "$log" |
			sed "s|^|$(basename "$log" .log): |" || true
	done
	printf '\n%s\nsteps: %d passed, %d failed\n' "$table" "$passed" "$failed"
	exit $((failed > 0))
}

# in_folder FOLDER COMMAND...
in_folder() {
	cd "$1" && shift && "$@"
}

# Go modules of this repository that have tests; those under tests/ replace the module by ../../go.
modules_with_tests() {
	local module
	for module in go tests/*/; do
		[ -f "$module/go.mod" ] && [ -n "$(find "$module" -name '*_test.go' -print -quit)" ] && echo "${module%/}"
	done
	true
}

check_steps() {
	step format cargo fmt --all --check
	step clippy cargo clippy --workspace --all-targets --locked -- -D warnings
	step rustdoc env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	step imports tests/check/imports.sh
	step header tests/check/header.sh
	step gofmt tests/check/gofmt.sh
	local module
	for module in go tests/*/; do
		[ -f "$module/go.mod" ] && [ -n "$(find "$module" -name '*.go' -print -quit)" ] || continue
		step "vet-$(basename "$module")" in_folder "$module" go vet ./...
	done
	step golangci tests/check/golangci.sh
	step scripts tests/check/scripts.sh
	step install tests/check/install.sh
	step alerts tests/check/alerts.sh
	step audit tests/scripts/audit.sh --if-present
}

test_steps() {
	step cargo-test cargo test --workspace --locked
	step planted-panics cargo test --locked -p cached-http-ffi --features failpoints --test panics
	step hung-disk cargo test --locked -p cached-http-core --features failpoints \
		--test slow_disk --test withdrawal
	# cgocheck2 looks at every pointer that crosses to C; a race ends the run at once.
	step go-test in_folder go env GOEXPERIMENT=cgocheck2 GORACE=halt_on_error=1 \
		go test -race -count=1 -timeout=10m ./...
	step abi tests/abi/run.sh plain
	step neighbours tests/abi/run.sh neighbours
	step abi-panics tests/abi/run.sh panics
	step leaks tests/abi/run.sh leaks
	step asan tests/scripts/asan.sh quick
	step fuzz tests/scripts/fuzz.sh --if-present
	local module
	for module in $(modules_with_tests); do
		[[ $module = go || $module = tests/page || $module = tests/e2e ]] || step "$(basename "$module")" in_folder "$module" go test -count=1 -timeout=15m ./...
	done
	# Without naming packages, go test also shows what a suite that passes prints: that there is no Chromium.
	step page in_folder tests/page go test -count=1 -timeout=5m
	step oldest-caddy tests/scripts/oldest_caddy.sh
	step release-and-e2e tests/scripts/release_test.sh # the whole suite, on what users get
	step demo make --no-print-directory demo
	# What the suites printed is looked through as well: neither PEM text nor a key belongs there.
	step no-secrets tests/scripts/no_secrets.sh "$logs"/*.log
}

step lib tests/scripts/lib.sh
[ "$failed" = 0 ] || finish # nothing else can be built
case ${1:-} in
check) check_steps ;;
test) check_steps && test_steps ;;
*) die "say check or test" ;;
esac
finish
