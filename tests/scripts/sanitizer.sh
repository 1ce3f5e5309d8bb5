# shellcheck shell=bash
# Sourced after tools.sh: the Rust side under the address sanitizer, which stable rustc builds when it is told so.

rust_target=$(rustc -vV | sed -n 's/^host: //p')

# instrumented_archive: builds the library for a C compiler's or Go's -fsanitize=address, in a folder of its own, and
# prints where it is.
instrumented_archive() {
	local archive
	archive=$(RUSTC_BOOTSTRAP=1 RUSTFLAGS='-Zsanitizer=address -Zexternal-clangrt' \
		build_archive --quiet --target "$rust_target" --target-dir "${root:?}/build/asan/archive") || exit 1
	# Checked, not hoped for: an archive without the sanitizer would pass everything.
	[ "$(nm "$archive" 2>/dev/null | grep -c __asan_report)" -gt 0 ] || die "$archive is not instrumented"
	echo "$archive"
}

# expect_fault PATTERN COMMAND...: the command has to fail, and to print a line with the extended regular expression.
expect_fault() {
	local pattern=$1 report
	shift
	if report=$("$@" 2>&1); then
		die "a planted fault was not found: $*"
	fi
	grep -qE "$pattern" <<<"$report" || die "$* failed, but not by /$pattern/:"$'\n'"$report"
	echo "planted and found: ${*: -1}"
}
