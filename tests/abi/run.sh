#!/usr/bin/env bash
# C programs over the generated header.
# Usage: tests/abi/run.sh plain|asan|leaks
#   plain   walks the whole ABI
#   asan    the same, with both sides under AddressSanitizer
#   leaks   gets and releases 100,000 times and looks at what is left; a million times with SOAK=1
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/tools.sh"
cd "$root"
mode=${1:-plain}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

libraries=(-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc)
flags=(-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -g)
case $mode in
plain | leaks)
  archive=$(build_archive --release --quiet)
  ;;
asan)
  # Only an instrumented archive catches a fault on the Rust side; stable rustc takes the flag this way.
  target=$(rustc -vV | sed -n 's/^host: //p')
  archive=$(RUSTC_BOOTSTRAP=1 RUSTFLAGS='-Zsanitizer=address -Zexternal-clangrt' \
    build_archive --quiet --target "$target" --target-dir target/asan)
  flags+=(-fsanitize=address -fno-omit-frame-pointer)
  # Checked, not hoped for: an archive without the sanitizer would pass everything.
  # grep reads to the end: leaving early would break the pipe under pipefail.
  nm "$archive" 2>/dev/null | grep -c __asan_report >"$work/reports" || true
  if [ "$(cat "$work/reports")" -eq 0 ]; then
    echo "tests/abi/run.sh: $archive is not instrumented" >&2
    exit 1
  fi
  ;;
*)
  echo "usage: tests/abi/run.sh plain|asan|leaks" >&2
  exit 2
  ;;
esac

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test \
  -addext 'subjectAltName=DNS:kept.example,DNS:once.example,DNS:kept.two.example' \
  -keyout "$work/key.pem" -out "$work/leaf.pem" 2>/dev/null
cat "$work/leaf.pem" "$work/key.pem" >"$work/bundle.pem"

build() { # PROGRAM: from its source and the backend's
  cc "${flags[@]}" "tests/abi/$1.c" tests/abi/backend.c "$archive" "${libraries[@]}" -o "$work/$1"
}

if [ "$mode" = leaks ]; then
  build leaks
  rounds=100000
  [ -z "${SOAK:-}" ] || rounds=1000000
  "$work/leaks" "$work/bundle.pem" "$rounds"
  exit
fi
build client
"$work/client" "$work/bundle.pem" "$work"
openssl x509 -in "$work/leaf.pem" -pubkey -noout >"$work/public.pem"
openssl dgst -sha256 -verify "$work/public.pem" -signature "$work/signature" "$work/message"
