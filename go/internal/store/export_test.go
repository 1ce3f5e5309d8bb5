package store

import (
	"crypto"
	"crypto/tls"
	"time"

	"go.uber.org/zap"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// What the tests see, and nobody else.

const (
	WaitGrace     = waitGrace
	DrainTimeout  = drainTimeout
	MaxTextLength = maxTextLength
)

var ErrOtherIdentity = errOtherIdentity

// ErrOtherKeys and ErrOtherRecords are the errors of leases that would share a storage.
var (
	ErrOtherKeys    = errOtherKeys
	ErrOtherRecords = errOtherRecords
)

func NewStore(engine Engine) *Store {
	return newStore(engine, config.Engine{Backend: "http://backend.example/"})
}

// NewLease is a running one over an engine of the test's.
func NewLease(engine interface {
	Engine
	LookupConfig
}, host Host, timeout time.Duration,
) *Lease {
	s := NewStore(engine)
	l := &Lease{Store: s, host: host, lookups: engine, timeout: timeout}
	s.leases = []*Lease{l}
	l.Start()
	return l
}

// Waiting is how many handshakes are registered.
func (s *Store) Waiting() int {
	s.waiters.mutex.Lock()
	defer s.waiters.mutex.Unlock()
	return len(s.waiters.waiting)
}

func (s *Store) HotCertificate(entry native.EntryID) *tls.Certificate {
	return s.entries.certificate(entry)
}

func (s *Store) EngineLogger() *zap.Logger { return s.logger() }

func (s *Store) DropHot(entry native.EntryID) { s.entries.drop(entry) }

func (s *Store) Drained() <-chan struct{} { return s.drained }

func (s *Store) IsClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// Register returns a token and what waits until it is told.
func (s *Store) Register() (token uint64, done func()) {
	token, channel := s.waiters.register()
	return token, func() { <-channel }
}

// Pump is a pump that no goroutine runs.
type Pump struct{ *pump }

func NewPump(engine Engine) Pump {
	return Pump{&pump{
		engine: engine, entries: newEntries(10), waiters: newWaiters(),
		candidates: make(map[native.EntryID]*tls.Certificate),
	}}
}

func (p Pump) Handle(event native.Event) { p.handle(event) }
func (p Pump) Candidates() int           { return len(p.candidates) }

// Register returns a token and what tells whether its answer came with a certificate.
func (p Pump) Register() (token uint64, done func() bool) {
	token, channel := p.waiters.register()
	return token, func() bool { return (<-channel).certificate != nil }
}

var (
	NewSigner        = newSigner
	BuildCertificate = buildCertificate
)

func (s *signer) Scheme(options crypto.SignerOpts) (tls.SignatureScheme, error) {
	return s.scheme(options)
}

// Distribute makes a lease part of a fleet.
func (l *Lease) Distribute(fleet *config.Fleet) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.settings.Distributed = fleet
}
