//go:build !musl

package native

// #include <limits.h>
// #ifndef __GLIBC__
// #error "this C library is not glibc: build with the tag musl, see docs/install.md"
// #endif
// #if !__has_include("lib/linux_arm64/libcached_http.a")
// #error "this module has no Rust library for linux_arm64: in a clone of the repository run make lib, or ./xcaddy.sh for a whole Caddy"
// #endif
// #cgo LDFLAGS: -L${SRCDIR}/lib/linux_arm64 -lcached_http -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
import "C"
