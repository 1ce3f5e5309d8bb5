//go:build !musl

package native

// #include <limits.h>
// #ifndef __GLIBC__
// #error "this C library is not glibc: build with the tag musl, see docs/install.md"
// #endif
// #if !__has_include("lib/linux_amd64/libcached_http.a")
// #error "the Rust library is not built: run make lib in the repository, or ./xcaddy.sh to build a whole Caddy"
// #endif
// #cgo LDFLAGS: -L${SRCDIR}/lib/linux_amd64 -lcached_http -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
import "C"
