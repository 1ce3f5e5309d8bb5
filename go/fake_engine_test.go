package cachedhttp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// fakeEngine answers lookups as a test says, and keeps what it was told.
type fakeEngine struct {
	events chan native.Event
	done   chan struct{}
	close  sync.Once

	mutex      sync.Mutex
	answers    map[string]native.Answer // by server name; PENDING for others
	chains     map[native.EntryID][][]byte
	keys       map[native.EntryID]*fakeKey
	openErrors []error // of the next calls of OpenEntry
	started    chan uint64
	queries    []string
	opened     int
	confirmed  []native.EntryID
	refused    map[native.EntryID]string
	resized    []string
	settings   []string
	openPanics bool
}

func newFakeEngine() *fakeEngine {
	return &fakeEngine{
		events:  make(chan native.Event, 64),
		done:    make(chan struct{}),
		answers: make(map[string]native.Answer),
		chains:  make(map[native.EntryID][][]byte),
		keys:    make(map[native.EntryID]*fakeKey),
		refused: make(map[native.EntryID]string),
		started: make(chan uint64, 1024),
	}
}

// keep makes an entry with a certificate for the name.
func (fake *fakeEngine) keep(t testing.TB, entry native.EntryID, name string) {
	der, private := newCertificate(t, name)
	fake.mutex.Lock()
	defer fake.mutex.Unlock()
	fake.chains[entry] = [][]byte{der}
	fake.keys[entry] = &fakeKey{private: private}
}

func (fake *fakeEngine) answer(name string, answer native.Answer) {
	fake.mutex.Lock()
	defer fake.mutex.Unlock()
	fake.answers[name] = answer
}

func (fake *fakeEngine) Lookup(name string, _ native.HelloFlags, query string, token uint64) native.Answer {
	fake.mutex.Lock()
	defer fake.mutex.Unlock()
	if answer, known := fake.answers[name]; known {
		return answer
	}
	if token == 0 {
		return native.Answer{Status: native.StatusMiss}
	}
	fake.queries = append(fake.queries, query)
	fake.started <- token
	return native.Answer{Status: native.StatusPending}
}

func (fake *fakeEngine) OpenEntry(entry native.EntryID) (key, [][]byte, error) {
	fake.mutex.Lock()
	defer fake.mutex.Unlock()
	fake.opened++
	if len(fake.openErrors) > 0 {
		err := fake.openErrors[0]
		fake.openErrors = fake.openErrors[1:]
		return nil, nil, err
	}
	chain, known := fake.chains[entry]
	if !known {
		return nil, nil, &native.Error{Status: native.StatusGone}
	}
	return fake.keys[entry], chain, nil
}

func (fake *fakeEngine) NextEvents() ([]native.Event, error) {
	select {
	case event := <-fake.events:
		return []native.Event{event}, nil
	case <-fake.done:
		return nil, &native.Error{Status: native.StatusClosed}
	}
}

func (fake *fakeEngine) Counters() (native.Counters, error) {
	return native.Counters{Hits: 7}, nil
}

func (fake *fakeEngine) ConfirmCandidate(entry native.EntryID) error {
	fake.mutex.Lock()
	defer fake.mutex.Unlock()
	fake.confirmed = append(fake.confirmed, entry)
	return nil
}

func (fake *fakeEngine) RejectCandidate(entry native.EntryID, reason string) error {
	fake.mutex.Lock()
	defer fake.mutex.Unlock()
	fake.refused[entry] = reason
	return nil
}

func (fake *fakeEngine) Resize(settings []byte) error {
	fake.mutex.Lock()
	defer fake.mutex.Unlock()
	fake.resized = append(fake.resized, string(settings))
	return nil
}

func (fake *fakeEngine) OpenLookupConfig(settings []byte) (instance, error) {
	fake.mutex.Lock()
	defer fake.mutex.Unlock()
	fake.settings = append(fake.settings, string(settings))
	return fakeInstance{fake}, nil
}

func (fake *fakeEngine) Close() error {
	fake.close.Do(func() { close(fake.done) })
	return nil
}

type fakeInstance struct{ *fakeEngine }

func (fakeInstance) Close() error { return nil }

type fakeKey struct {
	private crypto.Signer
	mutex   sync.Mutex
	closed  bool
	signed  []uint16
}

func (fake *fakeKey) Sign(scheme uint16, isDigest bool, input []byte) ([]byte, error) {
	fake.mutex.Lock()
	defer fake.mutex.Unlock()
	if fake.closed {
		return nil, errors.New("closed")
	}
	fake.signed = append(fake.signed, scheme)
	if !isDigest {
		digest := sha256.Sum256(input)
		input = digest[:]
	}
	return fake.private.Sign(rand.Reader, input, crypto.SHA256)
}

func (fake *fakeKey) Close() error {
	fake.mutex.Lock()
	defer fake.mutex.Unlock()
	fake.closed = true
	return nil
}

func (fake *fakeKey) isClosed() bool {
	fake.mutex.Lock()
	defer fake.mutex.Unlock()
	return fake.closed
}

// newGetter makes a getter over a fake engine, without Caddy around it.
func newGetter(t testing.TB) (*CertGetter, *fakeEngine, *observer.ObservedLogs) {
	fake := newFakeEngine()
	core, logs := observer.New(zap.DebugLevel)
	logger := zap.New(core)
	shared := newSharedEngine(fake, "http://backend.example/")
	own := &host{logger: logger}
	shared.hosts = []*host{own}
	getter := &CertGetter{
		logger:   logger,
		host:     own,
		lease:    &engineLease{sharedEngine: shared},
		instance: fakeInstance{fake},
	}
	getter.applyDefaults()
	t.Cleanup(func() {
		select {
		case <-shared.closing:
		default:
			if err := shared.Destruct(); err != nil {
				t.Error(err)
			}
		}
	})
	return getter, fake, logs
}

func newCertificate(t testing.TB, name string) (der []byte, private *ecdsa.PrivateKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	der, err = x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return der, private
}

func helloFor(name string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName:        name,
		SupportedVersions: []uint16{0x1a1a, tls.VersionTLS13, tls.VersionTLS12},
		SignatureSchemes:  []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256},
		CipherSuites:      []uint16{0x1a1a, tls.TLS_AES_128_GCM_SHA256},
		Conn:              fakeConnection{},
	}
}

type fakeConnection struct{ net.Conn }

func (fakeConnection) LocalAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 443}
}

// within fails the test when something takes longer than it ever should.
func within[T any](t testing.TB, channel <-chan T, what string) T {
	t.Helper()
	select {
	case value := <-channel:
		return value
	case <-time.After(5 * time.Second):
		t.Fatalf("no %s within 5 s", what)
		panic("unreachable")
	}
}
