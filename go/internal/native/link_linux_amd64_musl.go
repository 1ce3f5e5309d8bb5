//go:build linux && amd64 && musl

package native

// #include <limits.h>
// #ifdef __GLIBC__
// #error "this C library is glibc: build without the tag musl, or with CC=musl-gcc"
// #endif
// #if !__has_include("lib/linux_amd64_musl/libcached_http.a")
// #error "this module has no Rust library for linux_amd64_musl: in a clone of the repository run make lib, or ./xcaddy.sh for a whole Caddy"
// #endif
// #cgo LDFLAGS: -L${SRCDIR}/lib/linux_amd64_musl -lcached_http
import "C"
