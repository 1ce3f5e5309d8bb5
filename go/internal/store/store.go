// Package store shares native engines between the module instances that have one backend and one cache directory, and
// keeps what this side holds of each: certificates that are ready to serve, handshakes that wait, and the goroutine
// that takes the engine's events.
//
// A module instance has a [Lease] of a [Store]. Read operations.go first: it is the path of one handshake.
package store

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// Store is an engine and what this side keeps with it. Safe for concurrent use.
type Store struct {
	engine   Engine
	backend  string
	cacheDir string
	entries  *entries
	waiters  *waiters
	failures failures

	storageTimes storageTimes

	secondKind secondKind // of the backend's certificates, for prefetches

	closing chan struct{} // closed when the engine is about to be
	drained chan struct{} // closed when its last event is handled
	close   func() error  // the first call closes the engine and waits for its pending writes

	mutex    sync.Mutex
	leases   []*Lease      // loading or running, the newest last
	settings config.Engine // as they apply
	// hasStarted: the engine was told that a configuration runs. Until then it changes nothing on disk.
	hasStarted bool
	isInFleet  bool
}

func newStore(engine Engine, settings config.Engine) *Store {
	s := &Store{
		engine:   engine,
		backend:  settings.Backend,
		cacheDir: settings.CacheDir,
		settings: settings,
		entries:  newEntries(maxHotEntries),
		waiters:  newWaiters(),
		failures: newFailures(),
		closing:  make(chan struct{}),
		drained:  make(chan struct{}),
	}
	s.close = sync.OnceValue(s.closeEngine)
	pump := &pump{
		engine:     engine,
		entries:    s.entries,
		waiters:    s.waiters,
		backend:    s.backend,
		logger:     s.logger,
		useStorage: s.useStorage,
		events:     make(chan Event, maxEvents),
		candidates: make(map[native.EntryID]*tls.Certificate),
	}
	go func() {
		defer close(s.drained)
		defer close(pump.events)
		pump.run()
	}()
	go func() {
		for event := range pump.events {
			if lease := s.runningLease(); lease != nil {
				lease.host.Emit(event)
			}
		}
	}()
	openStores.add(s)
	return s
}

// Backend is the backend's URL without credentials and query.
func (s *Store) Backend() string { return s.backend }

// Counters reads the engine's totals.
func (s *Store) Counters() (native.Counters, error) { return s.engine.Counters() }

// certificate returns the entry's certificate, built if it is not hot. native.ErrGone if the entry has left
// the engine's memory.
func (s *Store) certificate(entry native.EntryID) (*tls.Certificate, error) {
	if certificate := s.entries.certificate(entry); certificate != nil {
		return certificate, nil
	}
	s.entries.begin(entry)
	certificate, err := buildCertificate(s.engine, entry)
	return s.entries.put(entry, certificate), err
}

// drainTimeout is a little more than the engine takes for its pending writes.
const drainTimeout = 3 * time.Second

// Destruct ends the engine. The pool calls it when the last lease is returned.
func (s *Store) Destruct() error { return s.close() }

func (s *Store) closeEngine() error {
	openStores.remove(s)
	close(s.closing)
	err := s.engine.Close()
	// Whatever still refers to this must not keep keys alive.
	s.entries.close()
	timeout := time.NewTimer(drainTimeout)
	defer timeout.Stop()
	select {
	case <-s.drained:
		return err
	case <-timeout.C:
		return errors.Join(err, fmt.Errorf("the certificate cache has not finished its writes after %v", drainTimeout))
	}
}

// runningLease is the newest lease that runs, or nil.
func (s *Store) runningLease() *Lease {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, lease := range slices.Backward(s.leases) {
		if lease.State() == Running {
			return lease
		}
	}
	return nil
}

// logger is where the newest running configuration says. The configuration that opens an engine is still being loaded,
// and the engine has something to say about its directory.
func (s *Store) logger() *zap.Logger {
	if lease := s.runningLease(); lease != nil {
		return lease.host.Logger()
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.leases) > 0 {
		return s.leases[len(s.leases)-1].host.Logger()
	}
	return caddy.Log().Named("tls.get_certificate.cached_http")
}

// applyLimits gives the engine the greatest limits that a running lease wants, so that neither a second site nor a
// configuration that goes makes it drop what another needs. The caller holds the mutex.
func (s *Store) applyLimits() error {
	var wanted config.Engine
	for _, lease := range s.leases {
		if lease.State() == Running {
			wanted = lease.settings.MaxLimits(wanted)
		}
	}
	if wanted == (config.Engine{}) || wanted == s.settings && s.hasStarted {
		return nil
	}
	s.hasStarted = true
	document, err := wanted.Document()
	if err != nil {
		return err
	}
	s.settings = wanted
	return s.engine.Resize(document)
}

// openStores are those that are open. Who only wants to look at them must not wait for the pool, whose lock is held
// while an engine opens, on a disk that may be slow.
var openStores storeList

type storeList struct {
	mutex  sync.Mutex
	stores []*Store
}

func (l *storeList) add(s *Store) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.stores = append(l.stores, s)
}

func (l *storeList) remove(s *Store) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.stores = slices.DeleteFunc(l.stores, func(open *Store) bool { return open == s })
}

func (l *storeList) list() []*Store {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return slices.Clone(l.stores)
}

// RunningStores returns those with a running lease.
func RunningStores() []*Store {
	return slices.DeleteFunc(openStores.list(), func(s *Store) bool { return s.runningLease() == nil })
}

// RunningLeases returns all running leases, the newest of each store first.
func RunningLeases() (leases []*Lease) {
	for _, s := range openStores.list() {
		s.mutex.Lock()
		for _, lease := range slices.Backward(s.leases) {
			if lease.State() == Running {
				leases = append(leases, lease)
			}
		}
		s.mutex.Unlock()
	}
	return leases
}

// Start starts the leases of a configuration that runs.
func Start(configuration any) {
	for _, s := range openStores.list() {
		for _, lease := range s.leasesOf(configuration) {
			lease.Start()
		}
	}
}

func (s *Store) leasesOf(configuration any) (leases []*Lease) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, lease := range s.leases {
		if lease.host.Configuration() == configuration {
			leases = append(leases, lease)
		}
	}
	return leases
}
