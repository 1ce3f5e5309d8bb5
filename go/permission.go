package cachedhttp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

func init() {
	caddy.RegisterModule(new(Permission))
}

const permissionID = "tls.permission.cached_http"

// Permission decides for which names Caddy may get certificates on demand, by what the `cached_http` managers of the
// configuration know: a name whose certificate they have is allowed, one that their backend answered with 204 is
// denied, quietly (the log has it at level DEBUG), and one that they don't know yet is fetched, once however many
// handshakes wait. Scanners then reach neither an ACME server nor, more than once, the app.
//
// With `ask`, an endpoint of your own decides instead about names for which the backend has no certificate: the ones
// for which Caddy shall get one itself. Its answers are cached.
type Permission struct {
	// The endpoint to ask about a name for which the managers' backends have no certificate, with a query parameter
	// `domain`. A 2xx status allows the name, a 4xx status denies it; anything else, 408 and 429 too, is an error that
	// is not kept. Redirects are not followed. Placeholders are replaced. Default: none, such names are denied.
	Ask string `json:"ask,omitempty"`

	// How long a yes of `ask` is kept. Default: `1h`.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// How long a no of `ask` is kept. Default: `60s`.
	NegativeTTL caddy.Duration `json:"negative_ttl,omitempty"`

	// How long `ask` may take. Default: `10s`.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	asker *asker
}

// CaddyModule returns the Caddy module information.
func (*Permission) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  permissionID,
		New: func() caddy.Module { return new(Permission) },
	}
}

// Provision checks the options.
func (permission *Permission) Provision(caddy.Context) error {
	if permission.Ask == "" {
		if permission.TTL != 0 || permission.NegativeTTL != 0 || permission.Timeout != 0 {
			return errAskMissing
		}
		return nil
	}
	var err error
	if permission.Ask, err = caddy.NewReplacer().ReplaceOrErr(permission.Ask, true, true); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	if err := checkURL(permission.Ask); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	applyDefault(&permission.TTL, caddy.Duration(defaultDefaultTTL))
	applyDefault(&permission.NegativeTTL, caddy.Duration(defaultNegativeTTL))
	applyDefault(&permission.Timeout, caddy.Duration(defaultTimeout))
	for name, option := range map[string]caddy.Duration{
		"ttl": permission.TTL, "negative_ttl": permission.NegativeTTL, "timeout": permission.Timeout,
	} {
		if err := checkDuration(time.Duration(option)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	permission.asker, err = leaseAsker(permission)
	return err
}

// Cleanup gives the share of what ask has said back.
func (permission *Permission) Cleanup() error {
	if permission.asker == nil {
		return nil
	}
	_, err := askers.Delete(permission.askerKey())
	return err
}

var errAskMissing = errors.New("ttl, negative_ttl and timeout are about ask, which is missing")

// CertificateAllowed returns nil if Caddy may get a certificate for the name, and an error that wraps
// caddytls.ErrPermissionDenied if it must not.
func (permission *Permission) CertificateAllowed(ctx context.Context, name string) error {
	known, err := managersKnow(helloOf(ctx, name), permission.asker == nil)
	switch {
	case known:
		return nil
	case permission.asker != nil:
		return permission.asker.allowed(name)
	case err != nil:
		return fmt.Errorf("cached_http: %q: %w", cappedName(name), err)
	}
	return fmt.Errorf("cached_http: %q: %w: the backend has no certificate for it", cappedName(name), caddytls.ErrPermissionDenied)
}

var errNoManager = errors.New("permission cached_http needs a get_certificate cached_http in the configuration, or ask")

// managersKnow tells whether a manager has the certificate. That of the handshake's own policy was asked just before,
// so that most often one of them knows; only if none does, and it is wanted, they fetch.
func managersKnow(hello *tls.ClientHelloInfo, mayFetch bool) (bool, error) {
	var unsure []*CertGetter
	getters, denied := currentGetters(), false
	for _, getter := range getters {
		switch getter.instance.Lookup(hello.ServerName, helloFlags(hello), "", 0).Status {
		case native.StatusHit, native.StatusStale:
			return true, nil
		case native.StatusNegative, native.StatusInvalidName:
			denied = true
		default:
			unsure = append(unsure, getter)
		}
	}
	if len(getters) == 0 && mayFetch {
		return false, errNoManager
	}
	if denied || !mayFetch {
		return false, nil
	}
	var failed error
	for _, getter := range unsure {
		answer := getter.fetch(hello, helloFlags(hello)).answer
		switch answer.Status {
		case native.StatusHit, native.StatusStale:
			return true, nil
		case native.StatusNegative, native.StatusInvalidName:
		default:
			failed = errors.Join(failed, &native.Error{Status: answer.Status, Message: answer.Reason})
		}
	}
	return false, failed
}

// currentGetters returns the newest manager in use over each engine.
func currentGetters() (getters []*CertGetter) {
	for _, shared := range currentEngines() {
		if getter := shared.servingHost().getter; getter != nil {
			getters = append(getters, getter)
		}
	}
	return getters
}

// helloOf is the handshake that wants the certificate, for this name; without a handshake (at a renewal), one of a
// client that can use every certificate.
func helloOf(ctx context.Context, name string) *tls.ClientHelloInfo {
	hello := tls.ClientHelloInfo{
		CipherSuites:      []uint16{tls.TLS_AES_128_GCM_SHA256},
		SignatureSchemes:  []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256},
		SupportedVersions: []uint16{tls.VersionTLS13},
	}
	if own, _ := ctx.Value(certmagic.ClientHelloInfoCtxKey).(*tls.ClientHelloInfo); own != nil {
		hello = *own
	}
	hello.ServerName = name
	return &hello
}

// Interface guards
var (
	_ caddytls.OnDemandPermission = (*Permission)(nil)
	_ caddy.Provisioner           = (*Permission)(nil)
	_ caddy.CleanerUpper          = (*Permission)(nil)
	_ caddyfile.Unmarshaler       = (*Permission)(nil)
)
