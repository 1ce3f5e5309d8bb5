package native

// #if !__has_include("lib/darwin_amd64/libcached_http.a")
// #error "the Rust library is not built: run make lib in the repository, or ./xcaddy.sh to build a whole Caddy"
// #endif
// #cgo LDFLAGS: -L${SRCDIR}/lib/darwin_amd64 -lcached_http -framework Security -framework CoreFoundation -liconv -lSystem -lc -lm
import "C"
