//go:build cgo && !((linux || darwin) && (amd64 || arm64))

package native

// #error "tls.get_certificate.cached_http has no Rust library for this platform: linux and darwin on amd64 and arm64 have one"
import "C"
