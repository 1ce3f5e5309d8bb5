// Package cachedhttp is the Caddy module tls.get_certificate.cached_http: a certificate manager that asks an
// HTTP backend for each server name, like Caddy's own http manager, and keeps the answers.
//
// Cache, fetches and private keys are on the other side of internal/native; this package adapts them to
// Caddy. Read get_certificate.go first: it is the path of one handshake.
package cachedhttp

import (
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

func init() {
	caddy.RegisterModule(new(CertGetter))
}

// moduleID is the module's place in Caddy's configuration.
const moduleID = "tls.get_certificate.cached_http"

// CertGetter gets certificates from an HTTP(S) backend, as the `http` manager does, and keeps the answers in
// memory and, if `cache_dir` is set, on disk. A handshake for a name that is known costs the backend nothing.
// Private keys never enter Caddy's memory: signatures are made on the other side of a library.
//
// The backend answers 200 with a PEM bundle of certificate chain and private key, 204 if it has no certificate
// for the name, and anything else if it has failed. It is asked at the latest when the lifetime that it gave
// the answer (`Cache-Control: s-maxage=...`, for one) is over. Answers other than 200 and 204 are never kept.
//
// Durations are numbers of nanoseconds or texts such as `90s`, `1h30m` and `7d`; sizes are numbers of bytes or
// texts such as `512KiB` and `1GiB`. An option that is absent or 0 has its default. Placeholders such as
// `{env.TOKEN}` and `{file./run/secrets/token}` are replaced in `url`, `cache_dir`, the values of `header`,
// `trusted_ca` and `client_certificate`, once, when the configuration is loaded.
type CertGetter struct {
	// The URL from which to get certificates: `http` or `https`. It may hold a user name and password, and a
	// query. Required.
	//
	// The URL will be augmented with query string parameters taken from the TLS handshake:
	//
	// - server_name: The SNI value, normalised: lower case, internationalised names in their ASCII form
	// - signature_schemes: Comma-separated list of hex IDs of signatures
	// - cipher_suites: Comma-separated list of hex IDs of cipher suites
	// - local_ip: The address on which the client reached this server
	//
	// Redirects are not followed, and proxies named by environment variables are not used: private keys
	// travel here.
	URL string `json:"url,omitempty"`

	// A lifetime for every certificate that overrides what responses say. Not to be combined with
	// `default_ttl`, which it would leave without effect. Default: the response's own lifetime, as by RFC 9111
	// for a shared cache. A certificate is never served past its expiry date, whatever its lifetime.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// The lifetime of a certificate whose response gives none. Default: `1h`.
	DefaultTTL caddy.Duration `json:"default_ttl,omitempty"`

	// How long a 204, "no certificate for this name", is kept if its response gives no lifetime.
	// Default: `60s`.
	NegativeTTL caddy.Duration `json:"negative_ttl,omitempty"`

	// How long past its lifetime a certificate may be served while the backend fails: at once, while it is asked
	// for a newer one in the background. Never past the certificate's expiry date, and not if the response
	// said `must-revalidate` (unless `ttl` overrides it). A negative value, in a Caddyfile `off`, is never.
	// Default: `24h`.
	StaleIfError caddy.Duration `json:"stale_if_error,omitempty"`

	// Whether a certificate that is asked for is fetched anew in the last tenth of its lifetime, and daily once
	// it expires within three days: `on` or `off`. Default: `on`.
	RefreshAhead string `json:"refresh_ahead,omitempty"`

	// A folder in which certificates **and their private keys, as plain text,** are kept over restarts. It is
	// made with mode 0700 if it does not exist; one that belongs to another user, is open to others or is a
	// symbolic link is refused. A relative path starts at the working directory. Default: none, memory only.
	CacheDir string `json:"cache_dir,omitempty"`

	// How long a handshake may wait for the backend, and the deadline of a request to it. Default: `10s`.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// What becomes of a handshake for a name for which the backend has no certificate, or that is no host name
	// at all: `pass` hands it on to the managers and issuers that come next in Caddy, `deny` ends it.
	//
	// Default: `pass` if a permission for on-demand issuance is configured (`on_demand_tls` with `ask` or
	// `permission`), and `deny` otherwise, since Caddy would start to order a certificate for every name that
	// a scanner makes up.
	OnNegative string `json:"on_negative,omitempty"`

	// How many bytes of certificates and keys are held in memory. What leaves it is still on disk if
	// `cache_dir` is set. Default: `256MiB`.
	MaxMemory ByteSize `json:"max_memory,omitempty"`

	// How many bytes of memory hold names for which there is no certificate. It is a store of its own, so that
	// a scan drives no certificate out. Default: `16MiB`.
	MaxNegative ByteSize `json:"max_negative,omitempty"`

	// How many requests to the backend may be under way at once; at most 1024. Default: 64.
	MaxConcurrentFetches int `json:"max_concurrent_fetches,omitempty"`

	// Header fields added to each request to the backend, an access token for example. Default: none.
	Header map[string][]string `json:"header,omitempty"`

	// Paths of PEM files with the only certificate authorities trusted for an `https` backend.
	// Default: those that the system trusts.
	TrustedCA []string `json:"trusted_ca,omitempty"`

	// The certificate shown to an `https` backend that asks for one. Default: none.
	ClientCertificate *ClientCertificate `json:"client_certificate,omitempty"`

	logger   *zap.Logger
	tlsApp   *caddytls.TLS // nil outside of a Caddy configuration
	host     *host
	lease    *engineLease
	instance instance

	// What a negative answer means; decided at the first one if the operator did not say.
	passNegatives     bool
	decideOnNegatives sync.Once
}

// ClientCertificate is a pair of PEM files.
type ClientCertificate struct {
	// Path of a PEM file with the certificate and its chain, leaf first. Required.
	Certificate string `json:"certificate,omitempty"`

	// Path of a PEM file with the private key. Required.
	Key string `json:"key,omitempty"`
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
