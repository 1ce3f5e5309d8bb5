package store

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

// Host is the module instance that has a lease.
type Host interface {
	// Logger is where the instance's configuration says.
	Logger() *zap.Logger
	// Emit runs the operator's handlers of an event; it may take as long as they do.
	Emit(event Event)
	// Storage is what the nodes of a fleet share; nil if the options have no distributed.
	Storage() Storage
	// Configuration is equal for hosts of one configuration, and nil outside of one.
	Configuration() any
}

// State is how far the configuration of a lease has come.
type State int32

// A lease that is loading or retired answers its own handshakes, but is asked, told and counted by nobody else: the
// configuration may be rejected, or is gone.
const (
	Loading State = iota
	Running
	Retired
)

// Lease is one module instance's share of a store.
type Lease struct {
	*Store
	host     Host
	settings config.Engine // its limits are wishes: those of all running leases count
	identity config.Identity
	lookups  LookupConfig
	timeout  time.Duration
	state    atomic.Int32
}

// Open finds the store that the options are about, or opens it.
func Open(options *config.Getter, host Host) (*Lease, error) {
	settings, err := options.Engine()
	if err != nil {
		return nil, err
	}
	identity, err := options.Identity()
	if err != nil {
		return nil, err
	}
	document, err := options.LookupDocument()
	if err != nil {
		return nil, err
	}
	store, err := takeFromPool(settings)
	if err != nil {
		return nil, fmt.Errorf("opening the certificate cache: %w", err)
	}
	l := &Lease{Store: store, host: host, settings: settings, identity: identity, timeout: time.Duration(options.Timeout)}
	if l.lookups, err = store.engine.OpenLookupConfig(document); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the certificate cache: %w", err), l.returnToPool())
	}
	if err := l.join(); err != nil {
		return nil, errors.Join(err, l.returnToPool())
	}
	return l, nil
}

var errOtherIdentity = otherAnswers("has the same URL and cache_dir", "another cache_dir, or a query in its URL, such as ?account=2")

// otherAnswers is of two that ask one backend, but in ways that it may answer differently.
func otherAnswers(they, advice string) error {
	return errors.New("another get_certificate cached_http of this configuration " + they +
		", but another header, trusted_ca, client_certificate or user in the URL; what the backend answers to one would be served by the other. " +
		"Give one of them " + advice)
}

var errOtherFleet = errors.New("another get_certificate cached_http of this configuration has the same URL and cache_dir, but says " +
	"something else under distributed; give both the same block")

// errOtherRecords is for caches that would have the same records on the storage.
var errOtherRecords = otherAnswers("is distributed and has the same URL", "a query in its URL, such as ?account=2")

// errOtherKeys is for caches that could not open each other's records and purges.
var errOtherKeys = errors.New("another get_certificate cached_http of this configuration is distributed and has the same URL and " +
	"storage, but other encryption keys: neither could open what the other writes. Give both the same keys, or a query in one's URL, such as ?account=2")

// checkRecordsWith tells why both must not read and write the same records, if they would.
func (l *Lease) checkRecordsWith(other *Lease) error {
	ours, theirs := l.settings.Distributed, other.settings.Distributed
	switch {
	case ours == nil || theirs == nil || !sameConfig(l.host, other.host):
		return nil
	case l.identity != other.identity:
		return errOtherRecords
	case ours.Storage == theirs.Storage && !ours.HasKeysOf(theirs):
		return errOtherKeys
	}
	return nil
}

// checkRecords looks at the leases of other stores.
func (l *Lease) checkRecords() error {
	for _, s := range openStores.list() {
		if s == l.Store || s.backend != l.backend {
			continue
		}
		s.mutex.Lock()
		leases := slices.Clone(s.leases)
		s.mutex.Unlock()
		for _, other := range leases {
			if err := l.checkRecordsWith(other); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Lease) join() error {
	if err := l.checkRecords(); err != nil {
		return err
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, other := range l.leases {
		if !sameConfig(l.host, other.host) {
			continue
		}
		if l.identity != other.identity {
			return errOtherIdentity
		}
		if !l.settings.Distributed.Equal(other.settings.Distributed) {
			return errOtherFleet
		}
	}
	l.leases = append(l.leases, l)
	return nil
}

// sameConfig tells whether both are of one configuration.
func sameConfig(one, other Host) bool {
	return one.Configuration() != nil && one.Configuration() == other.Configuration()
}

// Host is the module instance that has the lease.
func (l *Lease) Host() Host { return l.host }

// State is how far its configuration has come.
func (l *Lease) State() State { return State(l.state.Load()) }

// Start tells that the configuration runs. It is called at each handshake: a later call is one atomic read.
func (l *Lease) Start() {
	if l.State() != Loading {
		return
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if !l.state.CompareAndSwap(int32(Loading), int32(Running)) {
		return
	}
	if err := l.applyLimits(); err != nil {
		l.host.Logger().Error("applying the limits of the certificate cache", zap.Error(err))
	}
	if joins := l.settings.Distributed != nil; joins != l.isInFleet {
		if l.isInFleet = joins; joins {
			go l.follow(untold.of(l.backend))
		}
	}
}

// Release retires the lease, and ends the engine if it was the last. A second call does nothing. The lookup config is
// not closed: handshakes that began under this configuration still use it. It closes when nothing refers to it.
//
// After a reload, Caddy goes on with connections of the configuration before, of which some have not even begun
// their handshake. So it does with those of one that it rejects when some servers of it have already begun to listen, be it
// that no handshake has come here yet. The share is returned when they have ended, unless the process does.
func (l *Lease) Release() error {
	before := State(l.state.Swap(int32(Retired)))
	if before == Retired {
		return nil
	}
	err := l.leave()
	if caddy.Exiting() {
		err = errors.Join(err, l.close())
	} else {
		AfterFunc(newConnectionTime+l.timeout, func() {
			if err := l.returnToPool(); err != nil {
				l.logger().Error("closing the certificate cache of an earlier configuration", zap.Error(err))
			}
		})
	}
	return err
}

func (l *Lease) leave() error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.leases = slices.DeleteFunc(l.leases, func(other *Lease) bool { return other == l })
	return l.applyLimits()
}

// newConnectionTime is how long a server that shuts down waits for the first word of a connection that it has
// accepted (net/http, Server.Shutdown).
const newConnectionTime = 5 * time.Second

// AfterFunc is replaced by tests that look at what is left.
var AfterFunc = func(delay time.Duration, end func()) { time.AfterFunc(delay, end) }
