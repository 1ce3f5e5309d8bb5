package store

import (
	"github.com/caddyserver/caddy/v2"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

// pool holds the stores of this process, so that a reload of the configuration finds the certificates of the one
// before.
var pool = caddy.NewUsagePool()

// poolKey tells which leases share a store. The backend's name is free of credentials.
type poolKey struct {
	backend  string
	cacheDir string
}

func keyOf(settings config.Engine) poolKey {
	return poolKey{settings.Backend, settings.CacheDir}
}

func takeFromPool(settings config.Engine) (*Store, error) {
	document, err := settings.Document()
	if err != nil {
		return nil, err
	}
	pooled, _, err := pool.LoadOrNew(keyOf(settings), func() (caddy.Destructor, error) {
		opened, err := OpenEngine(document)
		if err != nil {
			return nil, err
		}
		return newStore(opened, settings), nil
	})
	if err != nil {
		// The pool has forgotten the key by itself: a Delete would take the next one's.
		return nil, err
	}
	return pooled.(*Store), nil
}

func (l *Lease) returnToPool() error {
	_, err := pool.Delete(keyOf(l.settings))
	return err
}
