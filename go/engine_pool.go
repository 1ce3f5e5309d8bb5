package cachedhttp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
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

// openEngines are those that are open. Who only wants to look at them must not wait for the pool, whose lock is held
// while an engine opens, on a disk that may be slow.
var openEngines struct {
	mutex   sync.Mutex
	engines []*sharedEngine
}

// currentEngines are the engines open now.
func currentEngines() []*sharedEngine {
	openEngines.mutex.Lock()
	defer openEngines.mutex.Unlock()
	return slices.Clone(openEngines.engines)
}

// sharedEngine is an engine and what this side keeps with it. Safe for concurrent use.
type sharedEngine struct {
	engine  engine
	origin  string
	entries *entries
	waiters *waiters

	closing chan struct{} // closed when the engine is about to be
	drained chan struct{} // closed when its last event is handled
	close   func() error  // the first call closes the engine and waits for its pending writes

	mutex    sync.Mutex
	hosts    []*host        // of the module instances that use it, the newest last
	settings engineSettings // as they apply
}

func newSharedEngine(engine engine, origin string) *sharedEngine {
	shared := &sharedEngine{
		engine:  engine,
		origin:  origin,
		entries: newEntries(maxHotEntries),
		waiters: newWaiters(),
		closing: make(chan struct{}),
		drained: make(chan struct{}),
	}
	shared.close = sync.OnceValue(shared.closeEngine)
	pump := &pump{
		engine:     engine,
		entries:    shared.entries,
		waiters:    shared.waiters,
		origin:     origin,
		logger:     func() *zap.Logger { return shared.newestHost().logger },
		notices:    make(chan notice, maxNotices),
		candidates: make(map[native.EntryID]*tls.Certificate),
	}
	go func() {
		defer close(shared.drained)
		defer close(pump.notices)
		pump.run()
	}()
	go func() {
		for notice := range pump.notices {
			shared.servingHost().emit(notice)
		}
	}()
	openEngines.mutex.Lock()
	defer openEngines.mutex.Unlock()
	openEngines.engines = append(openEngines.engines, shared)
	return shared
}

// certificate returns the entry's certificate, built if it is not hot. native.ErrGone if the entry has left
// the engine's memory.
func (shared *sharedEngine) certificate(entry native.EntryID) (*tls.Certificate, error) {
	if certificate := shared.entries.certificate(entry); certificate != nil {
		return certificate, nil
	}
	certificate, err := buildCertificate(shared.engine, entry)
	if err != nil {
		return nil, err
	}
	return shared.entries.put(entry, certificate), nil
}

// drainTimeout is a little more than the engine takes for its pending writes.
const drainTimeout = 3 * time.Second

// Destruct ends the engine. The pool calls it when the last module instance has let go.
func (shared *sharedEngine) Destruct() error { return shared.close() }

func (shared *sharedEngine) closeEngine() error {
	openEngines.mutex.Lock()
	openEngines.engines = slices.DeleteFunc(openEngines.engines, func(open *sharedEngine) bool { return open == shared })
	openEngines.mutex.Unlock()
	close(shared.closing)
	err := shared.engine.Close()
	// Whatever still refers to this must not keep keys alive.
	shared.entries.clear()
	timeout := time.NewTimer(drainTimeout)
	defer timeout.Stop()
	select {
	case <-shared.drained:
		return err
	case <-timeout.C:
		return errors.Join(err, fmt.Errorf("the certificate cache has not finished its writes after %v", drainTimeout))
	}
}

// newestHost is that of the newest module instance: an older one logs to where an older configuration said.
func (shared *sharedEngine) newestHost() *host {
	shared.mutex.Lock()
	defer shared.mutex.Unlock()
	if len(shared.hosts) == 0 {
		return &host{logger: caddy.Log().Named(moduleID)}
	}
	return shared.hosts[len(shared.hosts)-1]
}

// servingHost is the newest whose configuration runs: one that is being loaded may still be refused.
func (shared *sharedEngine) servingHost() *host {
	shared.mutex.Lock()
	for _, host := range slices.Backward(shared.hosts) {
		if host.serves.Load() {
			shared.mutex.Unlock()
			return host
		}
	}
	shared.mutex.Unlock()
	return shared.newestHost()
}

// applyLimits gives the engine the greatest limits that one of its hosts wants, so that neither a configuration that
// is refused nor a second site makes it drop what another needs. The caller holds the mutex.
func (shared *sharedEngine) applyLimits() error {
	wanted := shared.hosts[0].settings
	for _, host := range shared.hosts[1:] {
		wanted = wanted.orMore(host.settings)
	}
	if wanted == shared.settings {
		return nil
	}
	document, err := wanted.document()
	if err != nil {
		return err
	}
	shared.settings = wanted
	return shared.engine.Resize(document)
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
