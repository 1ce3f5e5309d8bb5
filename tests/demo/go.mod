// The demo. The module's path lies below that of the Caddy module, so that it may import its test authority,
// go/internal/testca.
module github.com/cached-http/caddy-cached-http/go/tests/demo

go 1.26.0

require github.com/cached-http/caddy-cached-http/go v0.0.0

replace github.com/cached-http/caddy-cached-http/go => ../../go
