package store_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
	"github.com/cached-http/caddy-cached-http/go/internal/store/storetest"
)

// host is a module instance that keeps what it is told.
type host struct {
	storage       store.Storage
	logger        *zap.Logger
	logs          *observer.ObservedLogs
	configuration any
	events        chan store.Event
}

func newHost(configuration any) *host {
	core, logs := observer.New(zap.DebugLevel)
	return &host{logger: zap.New(core), logs: logs, configuration: configuration, events: make(chan store.Event, 16)}
}

func (h *host) Logger() *zap.Logger    { return h.logger }
func (h *host) Storage() store.Storage { return h.storage }
func (h *host) Configuration() any     { return h.configuration }
func (h *host) Emit(event store.Event) { h.events <- event }

// newLease is a lease over a fake engine.
func newLease(t testing.TB) (*store.Lease, *storetest.Engine, *host) {
	fake, host := storetest.New(), newHost(nil)
	lease := store.NewLease(fake, host, config.DefaultTimeout)
	t.Cleanup(func() {
		if lease.IsClosing() {
			return
		}
		if err := lease.Destruct(); err != nil {
			t.Error(err)
		}
	})
	return lease, fake, host
}

type got struct {
	certificate *tls.Certificate
	err         error
}

// handshakes starts a number of them for one name, and returns when all wait for the fetch.
func handshakes(t *testing.T, lease *store.Lease, fake *storetest.Engine, name string, number int) (<-chan got, []uint64) {
	t.Helper()
	results := make(chan got, number)
	tokens := make([]uint64, number)
	for range number {
		go func() {
			certificate, err := lease.Lookup(storetest.Hello(name))
			results <- got{certificate, err}
		}()
	}
	for index := range tokens {
		tokens[index] = storetest.Within(t, fake.Started, "fetch")
	}
	return results, tokens
}

func TestAMissWaitsForTheFetch(t *testing.T) {
	lease, fake, _ := newLease(t)
	fake.Keep(9, "new.example")
	results, tokens := handshakes(t, lease, fake, "new.example", 50)
	fake.Events <- native.Event{Kind: native.EventCandidate, Entry: 9}
	fake.Events <- native.Event{Kind: native.EventFinished, Status: native.StatusHit, Entry: 9, Tokens: tokens}
	for range 50 {
		if result := storetest.Within(t, results, "answer"); result.err != nil || result.certificate.Leaf.DNSNames[0] != "new.example" {
			t.Fatal(result)
		}
	}
	if len(fake.Confirmed) != 1 || lease.Waiting() != 0 {
		t.Errorf("%d confirmed, %d still registered", len(fake.Confirmed), lease.Waiting())
	}
	const query = "local_ip=2001%3Adb8%3A%3A1"
	if fake.Queries[0] != query {
		t.Errorf("query %s", fake.Queries[0])
	}
}

// An answer that must not be kept (no-store) is in no store: only the pump has it.
func TestAnAnswerThatIsNotKept(t *testing.T) {
	lease, fake, _ := newLease(t)
	fake.Keep(9, "once.example")
	results, tokens := handshakes(t, lease, fake, "once.example", 1)
	fake.Events <- native.Event{Kind: native.EventCandidate, Entry: 9}
	fake.Events <- native.Event{Kind: native.EventFinished, Status: native.StatusHit, Entry: 9, Tokens: tokens}
	if result := storetest.Within(t, results, "answer"); result.certificate == nil {
		t.Fatal(result.err)
	}
	if fake.Opened != 1 {
		t.Errorf("opened %d times", fake.Opened)
	}
	if lease.HotCertificate(9) != nil {
		t.Error("it was kept")
	}
}

func TestAWaitEndsWithTheEngine(t *testing.T) {
	lease, fake, _ := newLease(t)
	results, _ := handshakes(t, lease, fake, "a.example", 3)
	if err := lease.Destruct(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if result := storetest.Within(t, results, "answer"); result.err == nil || !strings.Contains(result.err.Error(), "closed") {
			t.Fatal(result)
		}
	}
}

func TestAWaitHasADeadlineOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease, _, _ := newLease(t)
		start := time.Now()
		_, err := lease.Lookup(storetest.Hello("a.example"))
		if err == nil || !strings.Contains(err.Error(), "has not answered within 10s") {
			t.Error(err)
		}
		if took := time.Since(start); took != config.DefaultTimeout+store.WaitGrace {
			t.Error(took)
		}
		if lease.Waiting() != 0 {
			t.Error("its token is still registered")
		}
	})
}

func TestAFetchThatFails(t *testing.T) {
	lease, fake, _ := newLease(t)
	results, tokens := handshakes(t, lease, fake, "a.example", 2)
	fake.Events <- native.Event{Kind: native.EventFinished, Status: native.StatusFailed, Text: "no route", Tokens: tokens}
	for range 2 {
		if result := storetest.Within(t, results, "answer"); result.err == nil || result.err.Error() != "no route" {
			t.Fatal(result)
		}
	}
}

func TestAnEntryThatHasGoneIsLookedUpOnceMore(t *testing.T) {
	lease, fake, _ := newLease(t)
	fake.Keep(7, "a.example")
	fake.Answer("a.example", native.Answer{Status: native.StatusHit, Entry: 7})
	gone := &native.Error{Status: native.StatusGone}
	fake.OpenErrors = []error{gone}
	if certificate, err := lease.Lookup(storetest.Hello("a.example")); certificate == nil {
		t.Fatal(err)
	}
	lease.DropHot(7)
	fake.OpenErrors = []error{gone, gone}
	if _, err := lease.Lookup(storetest.Hello("a.example")); err == nil {
		t.Fatal("it was tried for a third time")
	}
}

func TestACandidateThatGoRejectsIsRefused(t *testing.T) {
	lease, fake, _ := newLease(t)
	fake.Keep(3, "a.example")
	fake.Chains[3] = [][]byte{{0x30, 0x03, 0x02, 0x01, 0x01}}
	results, tokens := handshakes(t, lease, fake, "a.example", 1)
	fake.Events <- native.Event{Kind: native.EventCandidate, Entry: 3}
	fake.Events <- native.Event{Kind: native.EventFinished, Status: native.StatusFailed, Text: "refused", Tokens: tokens}
	if result := storetest.Within(t, results, "answer"); result.err == nil {
		t.Fatal("it was served")
	}
	if len(fake.Confirmed) != 0 || !strings.HasPrefix(fake.Rejected[3], "Go rejects its certificate: ") {
		t.Errorf("confirmed %v, refused %v", fake.Confirmed, fake.Rejected)
	}
	if !fake.Keys[3].IsClosed() {
		t.Error("its key is still open")
	}
}

func TestAPanicWhileReadingACandidateIsARefusal(t *testing.T) {
	lease, fake, _ := newLease(t)
	fake.Keep(3, "a.example")
	fake.Chains[3] = nil // the index panics
	results, tokens := handshakes(t, lease, fake, "a.example", 1)
	fake.Events <- native.Event{Kind: native.EventCandidate, Entry: 3}
	fake.Events <- native.Event{Kind: native.EventFinished, Status: native.StatusFailed, Text: "refused", Tokens: tokens}
	storetest.Within(t, results, "answer")
	if !strings.HasPrefix(fake.Rejected[3], "panic while reading its certificate") || !fake.Keys[3].IsClosed() {
		t.Errorf("refused %v", fake.Rejected)
	}
}

func TestARetiredEntryIsDropped(t *testing.T) {
	lease, fake, _ := newLease(t)
	fake.Keep(7, "a.example")
	fake.Answer("a.example", native.Answer{Status: native.StatusHit, Entry: 7})
	if _, err := lease.Lookup(storetest.Hello("a.example")); err != nil {
		t.Fatal(err)
	}
	fake.Events <- native.Event{Kind: native.EventRetired, Entry: 7}
	deadline := time.Now().Add(30 * time.Second)
	for lease.HotCertificate(7) != nil {
		if time.Now().After(deadline) {
			t.Fatal("it is still there")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAStaleEntryIsServed(t *testing.T) {
	lease, fake, _ := newLease(t)
	fake.Keep(7, "a.example")
	fake.Answer("a.example", native.Answer{Status: native.StatusStale, Entry: 7})
	if certificate, err := lease.Lookup(storetest.Hello("a.example")); certificate == nil || err != nil {
		t.Fatal(certificate, err)
	}
}

func TestAnEntryThatRetiresWhileItIsOpenedIsNotKept(t *testing.T) {
	lease, fake, _ := newLease(t)
	fake.Keep(7, "a.example")
	fake.Answer("a.example", native.Answer{Status: native.StatusHit, Entry: 7})
	fake.DuringOpen = func() {
		fake.Events <- native.Event{Kind: native.EventRetired, Entry: 7}
		// The events before this one are handled when it is.
		token, done := lease.Register()
		fake.Events <- native.Event{Kind: native.EventFinished, Status: native.StatusFailed, Tokens: []uint64{token}}
		done()
	}
	if certificate, err := lease.Lookup(storetest.Hello("a.example")); certificate == nil {
		t.Fatal(err)
	}
	if lease.HotCertificate(7) != nil {
		t.Error("it is kept")
	}
}
