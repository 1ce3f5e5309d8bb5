//go:build !cgo && (linux || darwin) && (amd64 || arm64)

package native

// A build without cgo would leave out every file that imports "C", and its errors would not say why. This one
// does.
var _ int = "tls.get_certificate.cached_http needs cgo: install a C compiler, set CGO_ENABLED=1 and build again; for another machine than this, build there"
