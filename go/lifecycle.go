package cachedhttp

import (
	"errors"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"go.uber.org/zap"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// Provision checks the options and gets a lease of the store, whose engine starts with the first one. Caddy calls
// Cleanup after a Provision that failed, too.
func (g *CertGetter) Provision(ctx caddy.Context) error {
	g.context, g.logger = ctx, ctx.Logger()
	if err := g.findApps(ctx); err != nil {
		return err
	}
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	if err := g.Prepare(); err != nil {
		return err
	}
	if err := checkOrder(g.tlsApp); err != nil {
		return err
	}
	if err := g.findStorage(ctx); err != nil {
		return err
	}
	return g.openLease()
}

// findStorage finds what is shared with a fleet. Nothing is asked of it yet.
func (g *CertGetter) findStorage(ctx caddy.Context) error {
	switch {
	case g.Distributed == nil:
	case g.Distributed.StorageRaw == nil:
		g.storage = ctx.Storage()
	default:
		module, err := ctx.LoadModule(g.Distributed, "StorageRaw")
		if err != nil {
			return fmt.Errorf("distributed: loading the storage: %w", err)
		}
		converter, isStorage := module.(caddy.StorageConverter)
		if !isStorage {
			return errors.New("distributed: the module under storage is no storage")
		}
		if g.storage, err = converter.CertMagicStorage(); err != nil {
			return fmt.Errorf("distributed: the storage: %w", err)
		}
	}
	return nil
}

// findApps keeps the app that this module is part of, since what is asked of it is not known before it runs, and
// the one that takes events. A lookup in a running configuration would not be safe.
func (g *CertGetter) findApps(ctx caddy.Context) error {
	for _, name := range []string{"tls", "events"} {
		app, err := ctx.AppIfConfigured(name)
		if errors.Is(err, caddy.ErrNotConfigured) {
			continue
		}
		if err != nil {
			return err
		}
		switch app := app.(type) {
		case *caddytls.TLS:
			g.tlsApp = app
			if app.Automation != nil {
				g.policies = slices.Clone(app.Automation.Policies)
			}
		case *caddyevents.App:
			g.events = app
		}
	}
	return nil
}

func (g *CertGetter) openLease() (err error) {
	if g.lease, err = store.Open(&g.Getter, storeHost{g}); err != nil {
		return err
	}
	g.logger.Debug("certificate cache ready",
		zap.String("backend", g.lease.Backend()), zap.String("archive_sha256", native.ArchiveDigest()))
	if g.events == nil {
		g.started() // nobody else would say so
		return nil
	}
	return errors.Join(
		g.events.On("started", startedHandler{g}),
		g.events.On("stopping", stoppingHandler{stopAdminRequests}), // there are none without a cache
	)
}

// started is called when the configuration runs, by whom has loaded it: nobody else may look for apps meanwhile.
func (g *CertGetter) started() {
	if g.tlsApp != nil {
		var httpApp *caddyhttp.App
		if app, err := g.context.AppIfConfigured("http"); err == nil {
			httpApp, _ = app.(*caddyhttp.App)
		}
		g.names.Store(findConfiguredNames(g, g.policies, g.tlsApp, httpApp))
	}
	g.lease.Start()
}

// Cleanup gives back what Provision got. The engine goes on if another module instance has a lease of it, the
// next configuration's for one.
func (g *CertGetter) Cleanup() error {
	if g.lease == nil {
		return nil
	}
	return g.lease.Release()
}
