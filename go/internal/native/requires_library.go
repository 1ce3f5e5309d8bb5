//go:build !cgo && !((linux || darwin) && (amd64 || arm64))

package native

// Without cgo, which is off where Go builds for another platform, link_other.go is left out.
var _ int = "tls.get_certificate.cached_http has no Rust library for this platform: linux and darwin on amd64 and arm64 have one"
