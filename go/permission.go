package cachedhttp

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/cached-http/caddy-cached-http/go/internal/ask"
	"github.com/cached-http/caddy-cached-http/go/internal/config"
	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

func init() {
	caddy.RegisterModule(new(Permission))
}

const permissionID = "tls.permission.cached_http"

// Permission decides for which names Caddy may get certificates on demand, by what the `cached_http` managers know that
// Caddy asks about the name: those of the automation policy that it belongs to. What they don't know yet is fetched, once however many handshakes wait. A name whose certificate
// a manager has is allowed if the handshake was for it, and denied if the client named another or none; else a name of
// another site of the configuration is allowed; else one that a manager is unsure of, since its backend fails, is an
// error; else one that a manager with `on_negative deny` has no certificate for is denied; else `ask` decides, or it is
// denied. Denials are quiet: the log has them at level DEBUG. Scanners then reach neither an ACME server nor, more than
// once, the app.
//
// A manager that comes after one whose backend fails may serve what it has. If it has nothing, this permission keeps Caddy
// from ordering the certificate; without it, nothing does but another permission that says no.
//
// `ask` is an endpoint of your own that is asked about names for which no backend has a certificate: the ones for which
// Caddy shall get one itself. Its answers are cached.
type Permission struct {
	config.Permission

	askClient *ask.Client   // nil without ask
	dns       *ask.Client   // nil without resolves_to
	tlsApp    *caddytls.TLS // nil outside of a Caddy configuration
	start     sync.Once

	orders           *issuance.Orders
	claim            *issuance.Claim
	storage          certmagic.Storage // nil outside of a Caddy configuration
	storageQuestions chan struct{}
	ordersLogger     *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (*Permission) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  permissionID,
		New: func() caddy.Module { return new(Permission) },
	}
}

// Provision checks the options.
func (p *Permission) Provision(ctx caddy.Context) (err error) {
	if app, err := ctx.AppIfConfigured("tls"); err == nil {
		p.tlsApp, _ = app.(*caddytls.TLS)
	}
	if err := p.Prepare(); err != nil {
		return err
	}
	if p.Ask != "" {
		if p.askClient, err = ask.Open(&p.Permission); err != nil {
			return err
		}
	}
	if len(p.ResolvesTo) > 0 {
		if p.dns, err = ask.OpenDNS(&p.Permission); err != nil {
			return err
		}
	}
	p.storageQuestions = make(chan struct{}, maxStorageQuestions)
	return p.guardOrders(ctx)
}

// Cleanup gives back what is remembered.
func (p *Permission) Cleanup() (err error) {
	for _, client := range []*ask.Client{p.askClient, p.dns} {
		if client != nil {
			err = errors.Join(err, client.Close())
		}
	}
	if p.orders != nil {
		p.orders.Withdraw(p.claim)
		err = errors.Join(err, issuance.Close())
	}
	return err
}

// CertificateAllowed returns nil if Caddy may get a certificate for the name, and an error that wraps
// caddytls.ErrPermissionDenied if it must not.
func (p *Permission) CertificateAllowed(ctx context.Context, name string) error {
	// Servers accept connections a little before Caddy says that all apps have started.
	p.start.Do(func() {
		p.orders.Serve(p.claim)
		if p.tlsApp != nil {
			store.Start(p.tlsApp)
		}
	})
	err := p.permitOrder(ctx, name, func() error { return p.decide(ctx, name) })
	if err != nil {
		return fmt.Errorf("cached_http: %q: %w", cappedName(name), err)
	}
	return nil
}

func (p *Permission) decide(ctx context.Context, name string) error {
	hello, isForName, sent := helloOf(ctx, name)
	managers := p.managers(name, sent)
	if len(managers) == 0 {
		return p.decideAlone(name)
	}
	known := askManagers(managers, hello)
	switch {
	case known.found && isForName:
		return nil
	case known.found || known.listed && !isForName:
		return fmt.Errorf("%w: the client asked for another name", caddytls.ErrPermissionDenied)
	case known.listed:
		return nil
	case known.failure != nil:
		return known.failure
	case known.denied || p.isAlone() && !known.own:
		return fmt.Errorf("%w: the backend has no certificate for it", caddytls.ErrPermissionDenied)
	case known.own:
		return nil
	}
	return p.ask(name)
}

// isAlone: nothing but the managers decides.
func (p *Permission) isAlone() bool { return p.askClient == nil && p.dns == nil }

// decideAlone is for a name that no manager of ours is asked about.
func (p *Permission) decideAlone(name string) error {
	switch {
	case isSubject(p.tlsApp, name):
		return nil
	case !p.isAlone():
		return p.ask(name)
	case len(store.RunningLeases()) > 0:
		return errOtherSite
	}
	return errNoManager
}

// ask asks the endpoint. Without one, where the name points decides, which is asked later.
func (p *Permission) ask(name string) error {
	if p.askClient == nil {
		return nil
	}
	err := p.askClient.Allowed(name)
	if errors.Is(err, ask.ErrDenied) {
		return fmt.Errorf("%w: %w", caddytls.ErrPermissionDenied, err)
	}
	return err
}

// Interface guards
var (
	_ caddytls.OnDemandPermission = (*Permission)(nil)
	_ caddy.Provisioner           = (*Permission)(nil)
	_ caddy.CleanerUpper          = (*Permission)(nil)
	_ caddyfile.Unmarshaler       = (*Permission)(nil)
)
