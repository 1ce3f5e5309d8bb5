package native

// #if !__has_include("lib/linux_arm64/libcached_http.a")
// #error "the Rust library is not built: run make lib in the repository, or ./xcaddy.sh to build a whole Caddy"
// #endif
// #cgo LDFLAGS: -L${SRCDIR}/lib/linux_arm64 -lcached_http -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
import "C"
