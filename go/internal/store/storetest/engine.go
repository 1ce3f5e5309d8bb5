// Package storetest is a native engine that answers as a test says.
package storetest

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// Use makes stores open engines of this package, which it returns in the order of opening.
func Use(tb testing.TB) *[]*Engine {
	tb.Helper()
	var opened []*Engine
	before := store.OpenEngine
	store.OpenEngine = func(settings []byte) (store.Engine, error) {
		engine := New()
		engine.Settings = []string{string(settings)}
		opened = append(opened, engine)
		return engine, nil
	}
	tb.Cleanup(func() { store.OpenEngine = before })
	return &opened
}

// Engine answers lookups as a test says, and keeps what it was told.
type Engine struct {
	Events chan native.Event
	Done   chan struct{}
	close  sync.Once

	mutex      sync.Mutex
	Answers    map[string]native.Answer // by server name; PENDING for others
	Chains     map[native.EntryID][][]byte
	Keys       map[native.EntryID]*Key
	OpenErrors []error // of the next calls of OpenEntry
	Started    chan uint64
	Queries    []string
	Opened     int
	Confirmed  []native.EntryID
	Rejected   map[native.EntryID]string
	Resized    []string
	Operations map[string]native.Event // what follows an operation, by its kind
	operated   []string
	Settings   []string

	Stored []StorageAnswer // what storages have said

	DuringOpen func() // called once by OpenEntry, after it has found the entry
}

// StorageAnswer is what an engine was told of an operation.
type StorageAnswer struct {
	Request uint64
	Answer  native.StorageAnswer
	Data    string
}

// AnswerStorage keeps it.
func (e *Engine) AnswerStorage(request uint64, answer native.StorageAnswer, data []byte) error {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.Stored = append(e.Stored, StorageAnswer{request, answer, string(data)})
	return nil
}

// StorageAnswers returns what it was told.
func (e *Engine) StorageAnswers() []StorageAnswer {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return slices.Clone(e.Stored)
}

// New makes an engine that knows no name.
func New() *Engine {
	return &Engine{
		Events:   make(chan native.Event, 64),
		Done:     make(chan struct{}),
		Answers:  make(map[string]native.Answer),
		Chains:   make(map[native.EntryID][][]byte),
		Keys:     make(map[native.EntryID]*Key),
		Rejected: make(map[native.EntryID]string),
		Started:  make(chan uint64, 1024),
	}
}

// authority has signed every certificate.
var authority = sync.OnceValue(testca.NewAuthority)

// Keep makes an entry with a certificate for the name.
func (e *Engine) Keep(entry native.EntryID, name string) {
	bundle := authority().Issue(testca.Leaf{Names: []string{name}})
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.Chains[entry] = bundle.Chain
	e.Keys[entry] = NewKey(bundle.Key)
}

// Answer sets what lookups of a name get.
func (e *Engine) Answer(name string, answer native.Answer) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.Answers[name] = answer
}

// Lookup answers as set; a name that nothing was set for misses, and its fetch starts.
func (e *Engine) Lookup(name string, _ native.HelloFlags, query string, token uint64) native.Answer {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if answer, known := e.Answers[name]; known {
		return answer
	}
	if token == 0 {
		return native.Answer{Status: native.StatusMiss}
	}
	e.Queries = append(e.Queries, query)
	e.Started <- token
	return native.Answer{Status: native.StatusPending}
}

// OpenEntry opens a kept one.
func (e *Engine) OpenEntry(entry native.EntryID) (store.Key, [][]byte, error) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.Opened++
	if len(e.OpenErrors) > 0 {
		err := e.OpenErrors[0]
		e.OpenErrors = e.OpenErrors[1:]
		return nil, nil, err
	}
	chain, known := e.Chains[entry]
	if !known {
		return nil, nil, &native.Error{Status: native.StatusGone}
	}
	if during := e.DuringOpen; during != nil {
		e.DuringOpen = nil
		during()
	}
	return e.Keys[entry], chain, nil
}

// NextEvents waits for a test to send one.
func (e *Engine) NextEvents() ([]native.Event, error) {
	select {
	case event := <-e.Events:
		return []native.Event{event}, nil
	case <-e.Done:
		return nil, &native.Error{Status: native.StatusClosed}
	}
}

// Counters are no test's concern.
func (e *Engine) Counters() (native.Counters, error) {
	return native.Counters{Hits: 7}, nil
}

// ConfirmCandidate is noted.
func (e *Engine) ConfirmCandidate(entry native.EntryID) error {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.Confirmed = append(e.Confirmed, entry)
	return nil
}

// RejectCandidate is noted.
func (e *Engine) RejectCandidate(entry native.EntryID, reason string) error {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.Rejected[entry] = reason
	return nil
}

// Resize is noted.
func (e *Engine) Resize(settings []byte) error {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.Resized = append(e.Resized, string(settings))
	return nil
}

// OpenLookupConfig is noted; lookups through it are the engine's.
func (e *Engine) OpenLookupConfig(settings []byte) (store.LookupConfig, error) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.Settings = append(e.Settings, string(settings))
	return e, nil
}

// Close ends NextEvents.
func (e *Engine) Close() error {
	e.close.Do(func() { close(e.Done) })
	return nil
}

// IsClosed tells whether it was closed.
func (e *Engine) IsClosed() bool {
	select {
	case <-e.Done:
		return true
	default:
		return false
	}
}

// Operated returns what was asked for by Operate.
func (e *Engine) Operated() []string {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return slices.Clone(e.operated)
}

// Operate is answered as Operations says, by the kind of the operation; not at all for others.
func (e *Engine) Operate(operation []byte, token uint64) error {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.operated = append(e.operated, string(operation))
	for kind, answer := range e.Operations {
		if strings.HasPrefix(string(operation), `{"`+kind+`":`) {
			answer.Kind, answer.Tokens = native.EventAnswered, []uint64{token}
			e.Events <- answer
		}
	}
	return nil
}

// Ask is a lookup that starts a fetch.
func (e *Engine) Ask(serverName string, flags native.HelloFlags, _ native.AskMode, token uint64) native.Answer {
	return e.Lookup(serverName, flags, "", token)
}

// Key is a private key that counts.
type Key struct {
	private crypto.Signer
	mutex   sync.Mutex
	closed  bool
	signed  []uint16
}

// NewKey wraps one of Go's.
func NewKey(private crypto.Signer) *Key { return &Key{private: private} }

// Sign signs.
func (k *Key) Sign(scheme uint16, isDigest bool, input []byte) ([]byte, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.closed {
		return nil, errors.New("closed")
	}
	k.signed = append(k.signed, scheme)
	if !isDigest {
		digest := sha256.Sum256(input)
		input = digest[:]
	}
	return k.private.Sign(rand.Reader, input, crypto.SHA256)
}

// Close closes it.
func (k *Key) Close() error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.closed = true
	return nil
}

// IsClosed tells whether it was closed.
func (k *Key) IsClosed() bool {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return k.closed
}
