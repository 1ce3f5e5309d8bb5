package cachedhttp

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"go.uber.org/zap"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// Provision checks the options and gets a share of the engine, which starts with the first one. Caddy calls
// Cleanup after a Provision that failed, too.
func (getter *CertGetter) Provision(ctx caddy.Context) error {
	getter.logger = ctx.Logger()
	if err := getter.findApps(ctx); err != nil {
		return err
	}
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	if err := getter.replacePlaceholders(); err != nil {
		return err
	}
	if err := getter.check(); err != nil {
		return err
	}
	getter.applyDefaults()
	return getter.openInstance()
}

// findApps keeps the app that this module is part of, since what is asked of it is not known before it runs, and
// the one that takes events. A lookup in a running configuration would not be safe.
func (getter *CertGetter) findApps(ctx caddy.Context) error {
	getter.host = &host{context: ctx, logger: getter.logger, getter: getter}
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
			getter.tlsApp = app
		case *caddyevents.App:
			getter.host.events = app
		}
	}
	return nil
}

func (getter *CertGetter) openInstance() error {
	key, err := getter.engineKey()
	if err != nil {
		return err
	}
	getter.host.settings = getter.engineSettings(key)
	if getter.host.identity, err = getter.identity(); err != nil {
		return err
	}
	instanceSettings, err := getter.instanceSettings()
	if err != nil {
		return err
	}
	if getter.lease, err = leaseEngine(key, getter.host); err != nil {
		return fmt.Errorf("opening the certificate cache: %w", err)
	}
	if getter.instance, err = getter.lease.engine.OpenLookupConfig(instanceSettings); err != nil {
		return fmt.Errorf("opening the certificate cache: %w", err)
	}
	if err := getter.lease.attach(); err != nil {
		return err
	}
	getter.logger.Debug("certificate cache ready",
		zap.String("origin", key.origin), zap.String("archive_sha256", native.ArchiveDigest()))
	return nil
}

func (getter *CertGetter) engineKey() (engineKey, error) {
	origin, err := originName(getter.URL)
	if err != nil {
		return engineKey{}, err
	}
	key := engineKey{origin: origin}
	if getter.CacheDir != "" {
		if key.cacheDir, err = filepath.Abs(getter.CacheDir); err != nil {
			return engineKey{}, fmt.Errorf("cache_dir: %w", err)
		}
	}
	return key, nil
}

// Cleanup gives back what Provision got. The engine goes on if another module instance has a share of it, the
// next configuration's for one. The instance is not closed here: a reload comes while handshakes that began under
// this configuration still ask it; it closes when nothing refers to it any more.
func (getter *CertGetter) Cleanup() error {
	if getter.lease == nil {
		return nil
	}
	return getter.lease.release()
}
