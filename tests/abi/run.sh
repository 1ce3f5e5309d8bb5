#!/usr/bin/env bash
# C programs over the generated header.
# Usage: tests/abi/run.sh plain|neighbours|panics|musl|leaks|asan|valgrind
#   plain      walks the whole ABI
#   neighbours the same over the archive that is shipped, in one program with another Rust library
#   panics     a panic that is planted in the archive, linked as it is shipped, is a status
#   musl       walks it by the archive that is shipped for musl, linked dynamically and statically
#   leaks      gets and releases 100,000 times and looks at what is left; a million times with SOAK=1
#   asan       walks it under the address and leak sanitizers, both sides instrumented; faults.c is found
#   valgrind   the same under valgrind
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/tools.sh"
# shellcheck source=tests/scripts/sanitizer.sh
source "$root/tests/scripts/sanitizer.sh"
cd "$root"
mode=${1:-plain}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

libraries=(-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc)
flags=(-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -g)

build() { # PROGRAM SOURCE...
  local program=$1
  shift
  "${CC:-cc}" "${flags[@]}" "${@/#/tests/abi/}" "$archive" "${libraries[@]+"${libraries[@]}"}" -o "$work/$program"
}

bundle() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test \
    -addext 'subjectAltName=DNS:kept.example,DNS:once.example,DNS:kept.two.example' \
    -keyout "$work/key.pem" -out "$work/leaf.pem" 2>/dev/null
  cat "$work/leaf.pem" "$work/key.pem" >"$work/bundle.pem"
}

# walk [RUNNER...]: the client, and whether openssl agrees with its signature.
walk() {
  "$@" "$work/client" "$work/bundle.pem" "$work"
  openssl x509 -in "$work/leaf.pem" -pubkey -noout >"$work/public.pem"
  openssl dgst -sha256 -verify "$work/public.pem" -signature "$work/signature" "$work/message"
}

bundle
case $mode in
plain)
  archive=$(build_archive --release --quiet)
  build client client.c backend.c
  walk
  ;;
neighbours)
  built=$(build_archive --release --quiet)
  archive=$work/libcached_http.a
  tests/scripts/one_object.sh "$built" "$archive"
  rustc --edition 2024 --crate-type staticlib -O -o "$work/libneighbour.a" tests/abi/neighbour.rs
  libraries=("$work/libneighbour.a" "${libraries[@]}")
  build client client.c backend.c neighbours.c
  walk
  size() { echo "$(($(wc -c <"$1") / 1024)) KiB, packed $(($(gzip -c "$1" | wc -c) / 1024)) KiB"; }
  echo "the archive: $(size "$archive"); as cargo builds it: $(size "$built")"
  names=$(nm --extern-only --defined-only "$archive" | awk '$2 ~ /[TDBRVW]/ { print $3 }' | grep -vE '^(fetch_cached_cert|cached_http_[a-z0-9_]+)$' || true)
  [ -z "$names" ] || die "the archive has global names beside those of the header: $names"
  ;;
panics)
  archive=$work/libcached_http.a
  tests/scripts/one_object.sh "$(build_archive --quiet --features failpoints)" "$archive"
  build planted planted.c
  "$work/planted"
  ;;
musl)
  CARGO_BUILD_TARGET=$(uname -m)-unknown-linux-musl
  export CARGO_BUILD_TARGET
  shipped=$work/shipped.a planted=$work/planted.a
  tests/scripts/one_object.sh "$(build_archive --release --quiet)" "$shipped"
  tests/scripts/one_object.sh "$(build_archive --quiet --features failpoints)" "$planted"
  CC=musl-gcc
  for static in "" -static; do
    # Debian's musl-gcc makes the table that unwinding needs only if told.
    libraries=("-Wl,--eh-frame-hdr" ${static:+"$static"})
    archive=$shipped
    build client client.c backend.c
    walk
    archive=$planted
    build planted planted.c
    "$work/planted"
  done
  ;;
leaks)
  archive=$(build_archive --release --quiet)
  build leaks leaks.c backend.c
  rounds=100000
  [ -z "${SOAK:-}" ] || rounds=1000000
  "$work/leaks" "$work/bundle.pem" "$rounds"
  ;;
asan)
  archive=$(instrumented_archive)
  flags+=(-fsanitize=address -fno-omit-frame-pointer)
  build client client.c backend.c
  build faults faults.c
  walk
  # Found in serde_json: the library's own reads are watched, not the host's alone.
  expect_fault 'heap-use-after-free .*serde_json' "$work/faults" library-reads
  expect_fault 'heap-use-after-free' "$work/faults" host-reads
  expect_fault 'attempting double-free' "$work/faults" twice
  expect_fault 'detected memory leaks' "$work/faults" leak
  ;;
valgrind)
  command -v valgrind >/dev/null || die "valgrind is not installed, on Debian: apt install valgrind"
  archive=$(build_archive --release --quiet)
  build client client.c backend.c
  build faults faults.c
  checked=(valgrind --error-exitcode=99 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite)
  walk "${checked[@]}"
  expect_fault 'Invalid read' "${checked[@]}" "$work/faults" library-reads
  expect_fault 'Invalid read' "${checked[@]}" "$work/faults" host-reads
  expect_fault 'Invalid (free|write)' "${checked[@]}" "$work/faults" twice
  expect_fault 'definitely lost' "${checked[@]}" "$work/faults" leak
  ;;
*)
  echo "usage: tests/abi/run.sh plain|neighbours|panics|musl|leaks|asan|valgrind" >&2
  exit 2
  ;;
esac
