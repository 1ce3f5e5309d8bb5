// Package cachedhttp is the Caddy module tls.get_certificate.cached_http: a certificate manager that asks an
// HTTP backend for each server name, like Caddy's own http manager, and keeps the answers.
//
// This package is what Caddy loads. internal/config has the options, internal/store the path of a handshake, and
// internal/native the library that holds cache, fetches and private keys. Read get_certificate.go first.
package cachedhttp

import (
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

func init() {
	caddy.RegisterModule(new(CertGetter))
}

// moduleID is the module's place in Caddy's configuration.
const moduleID = "tls.get_certificate.cached_http"

// CertGetter gets certificates from an HTTP(S) backend, as the `http` manager does, and keeps the answers in
// memory and, if `cache_dir` is set, on disk. A handshake for a name that is known costs the backend nothing.
// Private keys never enter the Go heap: signatures are made in a Rust library.
//
// The backend answers 200 with a PEM bundle of certificate chain and private key, 204 if it has no certificate
// for the name, and anything else if it has failed. It is asked again once the lifetime that it gave the
// answer (`Cache-Control: s-maxage=...`, for one) has ended, or shortly before. Answers other than 200 and 204 are
// never kept.
//
// Durations are numbers of nanoseconds or texts such as `90s`, `1h30m` and `7d`; sizes are numbers of bytes or
// texts such as `512KiB` and `1GiB`. An option that is absent or 0 has its default. Placeholders such as
// `{env.TOKEN}` and `{file./run/secrets/token}` are replaced in `url`, `cache_dir`, the values of `header`,
// `trusted_ca` and `client_certificate`, once, when the configuration is loaded.
type CertGetter struct {
	config.Getter

	context caddy.Context
	logger  *zap.Logger
	tlsApp  *caddytls.TLS    // nil outside of a Caddy configuration
	events  *caddyevents.App // as well
	lease   *store.Lease
	storage store.Storage // of distributed, or nil

	policies []*caddytls.AutomationPolicy // as the operator has written them
	names    atomicNames

	// What a negative answer means; decided at the first one if the operator did not say.
	passNegatives     bool
	decideOnNegatives sync.Once
}

// CaddyModule returns the Caddy module information.
func (*CertGetter) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  moduleID,
		New: func() caddy.Module { return new(CertGetter) },
	}
}

// Interface guards
var (
	_ certmagic.Manager     = (*CertGetter)(nil)
	_ caddy.Provisioner     = (*CertGetter)(nil)
	_ caddy.CleanerUpper    = (*CertGetter)(nil)
	_ caddyfile.Unmarshaler = (*CertGetter)(nil)
)
