package cachedhttp

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// enginePool holds the engines of this process, so that a reload of the configuration finds the certificates
// of the one before.
var enginePool = caddy.NewUsagePool()

// engineKey tells which module instances share an engine: those with one origin and one cache directory. The
// origin is free of credentials.
type engineKey struct {
	origin   string
	cacheDir string
}

// engineLease is one module instance's share of an engine.
type engineLease struct {
	*sharedEngine
	key      engineKey
	host     *host
	attached bool
	released sync.Once
}

// leaseEngine finds the engine for a key or opens it.
func leaseEngine(key engineKey, host *host) (*engineLease, error) {
	document, err := host.settings.document()
	if err != nil {
		return nil, err
	}
	pooled, _, err := enginePool.LoadOrNew(key, func() (caddy.Destructor, error) {
		opened, err := openEngine(document)
		if err != nil {
			return nil, err
		}
		shared := newSharedEngine(opened, key.origin)
		shared.settings = host.settings
		return shared, nil
	})
	if err != nil {
		// The pool has forgotten the key by itself: a Delete would take the next one's.
		return nil, err
	}
	return &engineLease{sharedEngine: pooled.(*sharedEngine), key: key, host: host}, nil
}

var errOtherIdentity = errors.New("another get_certificate cached_http of this configuration has the same URL and cache_dir, " +
	"but another header, client_certificate or user in the URL; what the backend answers to one would be served by the other. " +
	"Give one of them another cache_dir, or a query in its URL, such as ?account=2")

// attach makes the module instance the one that the engine turns to. It must be ready to be asked.
func (lease *engineLease) attach() error {
	lease.mutex.Lock()
	defer lease.mutex.Unlock()
	for _, other := range lease.hosts {
		if lease.host.isBeside(other) && lease.host.identity != other.identity {
			return errOtherIdentity
		}
	}
	lease.hosts = append(lease.hosts, lease.host)
	lease.attached = true
	return lease.applyLimits()
}

// release gives the share back, and ends the engine if it was the last. A second call does nothing.
//
// After a reload, Caddy goes on with connections of the configuration before, of which some have not even begun
// their handshake. The share is given back when they have ended, unless the process does.
func (lease *engineLease) release() (err error) {
	lease.released.Do(func() {
		lease.mutex.Lock()
		if index := slices.Index(lease.hosts, lease.host); index >= 0 {
			lease.hosts = slices.Delete(lease.hosts, index, index+1)
			if len(lease.hosts) > 0 {
				err = lease.applyLimits()
			}
		}
		lease.mutex.Unlock()
		switch {
		case !lease.attached:
			_, err = enginePool.Delete(lease.key)
		case caddy.Exiting():
			err = errors.Join(err, lease.close())
		default:
			later(newConnectionTime+time.Duration(lease.host.getter.Timeout), lease.giveBack)
		}
	})
	return err
}

func (lease *engineLease) giveBack() {
	if _, err := enginePool.Delete(lease.key); err != nil {
		lease.newestHost().logger.Error("closing the certificate cache of an earlier configuration", zap.Error(err))
	}
}

// newConnectionTime is how long a server that shuts down waits for the first word of a connection that it has
// accepted (net/http, Server.Shutdown).
const newConnectionTime = 5 * time.Second

// later is replaced by tests that look at what is left.
var later = func(delay time.Duration, end func()) { time.AfterFunc(delay, end) }
