package native

// #if !__has_include("lib/darwin_amd64/libcached_http.a")
// #error "this module has no Rust library for darwin_amd64: in a clone of the repository run make lib, or ./xcaddy.sh for a whole Caddy"
// #endif
// #cgo LDFLAGS: -L${SRCDIR}/lib/darwin_amd64 -lcached_http -framework Security -framework CoreFoundation -liconv -lSystem -lc -lm
import "C"
