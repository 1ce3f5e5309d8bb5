package native

// #cgo LDFLAGS: -L${SRCDIR}/lib/darwin_amd64 -lcached_http -framework Security -framework CoreFoundation -liconv -lSystem -lc -lm
import "C"
