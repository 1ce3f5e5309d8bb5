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
	pooled, isOpen, err := pool.LoadOrNew(keyOf(settings), func() (caddy.Destructor, error) {
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
	if isOpen && (settings.CacheDir != "" || settings.Distributed != nil) {
		if err := check(document); err != nil {
			_, _ = pool.Delete(keyOf(settings))
			return nil, err
		}
	}
	return pooled.(*Store), nil
}

// check tells whether an engine could be opened now: the folder and the key files may have changed since the open one was, and
// what the next start would reject is rejected by a reload already. Opening changes nothing on disk.
func check(document []byte) error {
	probe, err := OpenEngine(document)
	if err != nil {
		return err
	}
	err = probe.Close()
	for {
		if _, ended := probe.NextEvents(); ended != nil {
			return err
		}
	}
}

func (l *Lease) returnToPool() error {
	_, err := pool.Delete(keyOf(l.settings))
	return err
}
