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
