#!/usr/bin/env bash
# one_object.sh ARCHIVE OUTPUT: makes of the Rust archive one with a single object, whose only global names are those of
# the header. What nothing of that uses is left out. So two Rust libraries fit into one program, though both bring
# std, and an archive to download is small. Uses what comes with Rust itself.
#
# Where the tools are missing, or the platform is none for them, the archive stays as it is, and says so.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
[ $# = 2 ] || die "usage: one_object.sh ARCHIVE OUTPUT"
archive=$1 output=$2

host=$(rustc -vV | sed -n 's/^host: //p')
sysroot=$(rustc --print sysroot)
tools=$sysroot/lib/rustlib/$host/bin
if [[ $host != *-linux-* ]] || [ ! -x "$tools/gcc-ld/ld.lld" ] || [ ! -x "$tools/rust-objcopy" ]; then
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
"$tools/gcc-ld/ld.lld" --relocatable --gc-sections "${roots[@]}" -o "$work/linked.o" "$archive"
# The sections are for a link-time optimisation by LLVM that is over.
rust-objcopy --keep-global-symbols="$work/names" --strip-debug --strip-unneeded \
	--remove-section=.llvmbc --remove-section=.llvmcmd "$work/linked.o" "$work/cached_http.o"
rm -f "$work/packed.a"
(cd "$work" && ar crD packed.a cached_http.o)
cp "$work/packed.a" "$output"
