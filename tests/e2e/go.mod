// The end-to-end tests. The module's path lies below that of the Caddy module, so that they may import its test backend,
// go/internal/testbackend.
module github.com/cached-http/caddy-cached-http/go/tests/e2e

go 1.26.0

require (
	github.com/cached-http/caddy-cached-http/go v0.0.0
	github.com/quic-go/quic-go v0.63.0 // the version Caddy 2.11.9 brings
)

require golang.org/x/net v0.60.0

require (
	github.com/quic-go/qpack v0.6.0 // indirect
	golang.org/x/crypto v0.57.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/text v0.42.0 // indirect
)

replace github.com/cached-http/caddy-cached-http/go => ../../go
