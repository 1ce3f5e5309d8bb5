#!/usr/bin/env bash
# one_object.sh ARCHIVE OUTPUT: makes of the Rust archive one with a single object, whose only global names are those of
# the header. Members that nothing of that uses are left out. So two Rust libraries fit into one program, though both bring
# std, and an archive to download is small. Uses what comes with Rust itself.
#
# Where the tools are missing, or the platform is none for them, the archive stays as it is, and says so.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
[ $# = 2 ] || die "usage: one_object.sh ARCHIVE OUTPUT"
archive=$1 output=$2

host=$(rustc -vV | sed -n 's/^host: //p')
target=$(rust_target)
sysroot=$(rustc --print sysroot)
tools=$sysroot/lib/rustlib/$host/bin
# What unwinds panics comes with the C compiler's library for glibc; for musl, Rust has one that needs nothing else.
unwinder=()
[[ $target != *-musl ]] || unwinder=("$sysroot/lib/rustlib/$target/lib/self-contained/libunwind.a")
if [[ $host != *-linux-* ]] || [ ! -x "$tools/gcc-ld/ld.lld" ] || [ ! -x "$tools/rust-objcopy" ]; then
	[ ${#unwinder[@]} = 0 ] || die "this Rust has no rust-lld and rust-objcopy for $host: install Rust from https://rustup.rs"
	echo "${0##*/}: this Rust has no rust-lld and rust-objcopy for $host; the archive keeps its many objects" >&2
	cp "$archive" "$output"
	exit
fi
export PATH=$tools:$PATH LD_LIBRARY_PATH=$sysroot/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
	grep -oE '\b(fetch_cached_cert|cached_http_[a-z0-9_]+)\(' "$root/include/cached_http.h"
	grep -E '^extern const ' "$root/include/cached_http.h" | grep -oE '\bcached_http_[a-z0-9_]+\[' || true
} | tr -d '([' | sort -u >"$work/names"
[ -s "$work/names" ] || die "include/cached_http.h declares nothing"
mapfile -t roots < <(sed 's/^/--undefined=/' "$work/names")
# Not with --gc-sections: of an object it also drops .eh_frame, without which the first panic ends the process.
"$tools/gcc-ld/ld.lld" --relocatable "${roots[@]}" -o "$work/linked.o" "$archive" "${unwinder[@]+"${unwinder[@]}"}"
# The sections are for a link-time optimisation by LLVM that is over.
rust-objcopy --keep-global-symbols="$work/names" --strip-debug --strip-unneeded \
	--remove-section=.llvmbc --remove-section=.llvmcmd "$work/linked.o" "$work/cached_http.o"
rm -f "$work/packed.a"
(cd "$work" && ar crD packed.a cached_http.o)
cp "$work/packed.a" "$output"
