package cachedhttp

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/cached-http/caddy-cached-http/go/internal/ask"
	"github.com/cached-http/caddy-cached-http/go/internal/config"
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
	config.Permission

	askClient *ask.Client // nil without ask
}

// CaddyModule returns the Caddy module information.
func (*Permission) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  permissionID,
		New: func() caddy.Module { return new(Permission) },
	}
}

// Provision checks the options.
func (p *Permission) Provision(caddy.Context) (err error) {
	if err := p.Prepare(); err != nil || p.Ask == "" {
		return err
	}
	p.askClient, err = ask.Open(&p.Permission)
	return err
}

// Cleanup gives back what ask has said.
func (p *Permission) Cleanup() error {
	if p.askClient == nil {
		return nil
	}
	return p.askClient.Close()
}

// CertificateAllowed returns nil if Caddy may get a certificate for the name, and an error that wraps
// caddytls.ErrPermissionDenied if it must not.
func (p *Permission) CertificateAllowed(ctx context.Context, name string) error {
	known, err := managersKnow(helloOf(ctx, name), p.askClient == nil)
	switch {
	case known:
		return nil
	case p.askClient != nil:
		if err = p.askClient.Allowed(name); errors.Is(err, ask.ErrDenied) {
			err = fmt.Errorf("%w: %w", caddytls.ErrPermissionDenied, err)
		}
	case err == nil:
		err = fmt.Errorf("%w: the backend has no certificate for it", caddytls.ErrPermissionDenied)
	}
	if err != nil {
		return fmt.Errorf("cached_http: %q: %w", cappedName(name), err)
	}
	return nil
}

// Interface guards
var (
	_ caddytls.OnDemandPermission = (*Permission)(nil)
	_ caddy.Provisioner           = (*Permission)(nil)
	_ caddy.CleanerUpper          = (*Permission)(nil)
	_ caddyfile.Unmarshaler       = (*Permission)(nil)
)
