package cachedhttp

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

type got struct {
	certificate *tls.Certificate
	err         error
}

// handshakes starts a number of them for one name, and returns when all wait for the fetch.
func handshakes(t *testing.T, getter *CertGetter, fake *fakeEngine, name string, number int) (<-chan got, []uint64) {
	t.Helper()
	results := make(chan got, number)
	tokens := make([]uint64, number)
	for range number {
		go func() {
			certificate, err := getter.GetCertificate(context.Background(), helloFor(name))
			results <- got{certificate, err}
		}()
	}
	for index := range tokens {
		tokens[index] = within(t, fake.started, "fetch")
	}
	return results, tokens
}

func TestAHitTakesNoMemory(t *testing.T) {
	getter, fake, _ := newGetter(t)
	fake.keep(t, 7, "a.example")
	fake.answer("a.example", native.Answer{Status: native.StatusHit, Entry: 7})
	hello := helloFor("a.example")
	first, err := getter.GetCertificate(context.Background(), hello)
	if err != nil || first.Leaf == nil || first.Leaf.DNSNames[0] != "a.example" {
		t.Fatal(first, err)
	}
	allocations := testing.AllocsPerRun(1000, func() {
		if certificate, err := getter.GetCertificate(context.Background(), hello); certificate != first || err != nil {
			t.Fatal("another certificate", err)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations for a hit", allocations)
	}
	if fake.opened != 1 {
		t.Errorf("the entry was opened %d times", fake.opened)
	}
}

func TestAStaleEntryIsServed(t *testing.T) {
	getter, fake, _ := newGetter(t)
	fake.keep(t, 7, "a.example")
	fake.answer("a.example", native.Answer{Status: native.StatusStale, Entry: 7})
	if certificate, err := getter.GetCertificate(context.Background(), helloFor("a.example")); certificate == nil || err != nil {
		t.Fatal(certificate, err)
	}
}

func TestAMissWaitsForTheFetch(t *testing.T) {
	getter, fake, _ := newGetter(t)
	fake.keep(t, 9, "new.example")
	results, tokens := handshakes(t, getter, fake, "new.example", 50)
	fake.events <- native.Event{Kind: native.EventCandidate, Entry: 9}
	fake.events <- native.Event{Kind: native.EventFinished, Status: native.StatusHit, Entry: 9, Tokens: tokens}
	for range 50 {
		if result := within(t, results, "answer"); result.err != nil || result.certificate.Leaf.DNSNames[0] != "new.example" {
			t.Fatal(result)
		}
	}
	if len(fake.confirmed) != 1 || len(getter.lease.waiters.waiting) != 0 {
		t.Errorf("%d confirmed, %d still registered", len(fake.confirmed), len(getter.lease.waiters.waiting))
	}
	const query = "cipher_suites=1a1a%2C1301&local_ip=2001%3Adb8%3A%3A1&signature_schemes=403%2C804"
	if fake.queries[0] != query {
		t.Errorf("query %s", fake.queries[0])
	}
}

// An answer that must not be kept (no-store) is in no store: only the pump has it.
func TestAnAnswerThatIsNotKept(t *testing.T) {
	getter, fake, _ := newGetter(t)
	fake.keep(t, 9, "once.example")
	results, tokens := handshakes(t, getter, fake, "once.example", 1)
	fake.events <- native.Event{Kind: native.EventCandidate, Entry: 9}
	fake.events <- native.Event{Kind: native.EventFinished, Status: native.StatusHit, Entry: 9, Tokens: tokens}
	if result := within(t, results, "answer"); result.certificate == nil {
		t.Fatal(result.err)
	}
	if fake.opened != 1 {
		t.Errorf("opened %d times", fake.opened)
	}
	if getter.lease.entries.certificate(9) != nil {
		t.Error("it was kept")
	}
}

// Whatever becomes of the handshake that waits, the others get their answer: certmagic shares its result.
func TestAClientThatLeavesChangesNothing(t *testing.T) {
	getter, fake, _ := newGetter(t)
	fake.keep(t, 9, "a.example")
	ctx, leave := context.WithCancel(context.Background())
	results := make(chan got, 1)
	go func() {
		certificate, err := getter.GetCertificate(ctx, helloFor("a.example"))
		results <- got{certificate, err}
	}()
	token := within(t, fake.started, "fetch")
	leave()
	select {
	case result := <-results:
		t.Fatalf("it did not wait: %v", result.err)
	case <-time.After(50 * time.Millisecond):
	}
	fake.events <- native.Event{Kind: native.EventCandidate, Entry: 9}
	fake.events <- native.Event{Kind: native.EventFinished, Status: native.StatusHit, Entry: 9, Tokens: []uint64{token}}
	if result := within(t, results, "answer"); result.err != nil {
		t.Fatal(result.err)
	}
}

func TestAWaitEndsWithTheEngine(t *testing.T) {
	getter, fake, _ := newGetter(t)
	results, _ := handshakes(t, getter, fake, "a.example", 3)
	if err := getter.lease.Destruct(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if result := within(t, results, "answer"); result.err == nil || !strings.Contains(result.err.Error(), "closed") {
			t.Fatal(result)
		}
	}
}

func TestAWaitHasADeadlineOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		getter, _, _ := newGetter(t)
		start := time.Now()
		_, err := getter.GetCertificate(context.Background(), helloFor("a.example"))
		if err == nil || !strings.Contains(err.Error(), "has not answered within 10s") {
			t.Error(err)
		}
		if took := time.Since(start); took != defaultTimeout+waitGrace {
			t.Error(took)
		}
		if len(getter.lease.waiters.waiting) != 0 {
			t.Error("its token is still registered")
		}
	})
}

func TestErrorsSayWhichNameAndWhy(t *testing.T) {
	getter, fake, _ := newGetter(t)
	getter.OnNegative = onNegativeDeny
	long := strings.Repeat("a", 400)
	for name, test := range map[string]struct {
		answer native.Answer
		text   string
	}{
		"a.example":  {native.Answer{Status: native.StatusFailed, Reason: "refused: bad key"}, `cached_http: "a.example": refused: bad key`},
		"b.example":  {native.Answer{Status: native.StatusOverloaded}, `cached_http: "b.example": too many names wait for the backend`},
		"c.example":  {native.Answer{Status: native.StatusBackedOff, Reason: "it was 502"}, `cached_http: "c.example": not asked again yet; the last answer was: it was 502`},
		"d.example":  {native.Answer{Status: native.StatusNegative}, `cached_http: "d.example": the backend has no certificate for this name`},
		"e.example":  {native.Answer{Status: native.StatusClosed}, `cached_http: "e.example": the certificate cache is closed`},
		"f.example":  {native.Answer{Status: 77}, `cached_http: "f.example": unknown status 77 of the certificate cache`},
		"10.0.0.1":   {native.Answer{Status: native.StatusInvalidName, Reason: "an address"}, `cached_http: "10.0.0.1": an address`},
		"a\xff\n\"b": {native.Answer{Status: native.StatusInvalidName, Reason: "bad"}, `cached_http: "a\xff\n\"b": bad`},
		long:         {native.Answer{Status: native.StatusInvalidName, Reason: "long"}, `cached_http: "` + long[:253] + `": long`},
	} {
		fake.answer(name, test.answer)
		certificate, err := getter.GetCertificate(context.Background(), helloFor(name))
		if certificate != nil || err == nil || err.Error() != test.text {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestAFetchThatFails(t *testing.T) {
	getter, fake, _ := newGetter(t)
	results, tokens := handshakes(t, getter, fake, "a.example", 2)
	fake.events <- native.Event{Kind: native.EventFinished, Status: native.StatusFailed, Text: "no route", Tokens: tokens}
	for range 2 {
		if result := within(t, results, "answer"); result.err == nil || !strings.HasSuffix(result.err.Error(), ": no route") {
			t.Fatal(result)
		}
	}
}

func TestAnEntryThatHasGoneIsLookedUpOnceMore(t *testing.T) {
	getter, fake, _ := newGetter(t)
	fake.keep(t, 7, "a.example")
	fake.answer("a.example", native.Answer{Status: native.StatusHit, Entry: 7})
	gone := &native.Error{Status: native.StatusGone}
	fake.openErrors = []error{gone}
	if certificate, err := getter.GetCertificate(context.Background(), helloFor("a.example")); certificate == nil {
		t.Fatal(err)
	}
	getter.lease.entries.drop(7)
	fake.openErrors = []error{gone, gone}
	if _, err := getter.GetCertificate(context.Background(), helloFor("a.example")); err == nil {
		t.Fatal("it was tried for a third time")
	}
}

func TestThePumpKeepsNoCandidateLongerThanItsFetch(t *testing.T) {
	getter, fake, _ := newGetter(t)
	fake.keep(t, 3, "a.example")
	pump := &pump{
		engine:     fake,
		entries:    getter.lease.entries,
		waiters:    getter.lease.waiters,
		candidates: make(map[native.EntryID]*tls.Certificate),
	}
	// The client that set the fetch in motion may not be able to use what came.
	for _, status := range []native.Status{native.StatusHit, native.StatusFailed} {
		pump.handle(native.Event{Kind: native.EventCandidate, Entry: 3})
		if len(pump.candidates) != 1 {
			t.Fatal("not kept at all")
		}
		token, done := pump.waiters.register()
		pump.handle(native.Event{Kind: native.EventFinished, Status: status, Entry: 3, Tokens: []uint64{token}})
		if len(pump.candidates) != 0 {
			t.Error("it is kept for good")
		}
		if result := <-done; (result.certificate != nil) != (status == native.StatusHit) {
			t.Errorf("%v: %+v", status, result)
		}
	}
}

func TestACandidateThatGoRejectsIsRefused(t *testing.T) {
	getter, fake, _ := newGetter(t)
	fake.keep(t, 3, "a.example")
	fake.chains[3] = [][]byte{{0x30, 0x03, 0x02, 0x01, 0x01}}
	results, tokens := handshakes(t, getter, fake, "a.example", 1)
	fake.events <- native.Event{Kind: native.EventCandidate, Entry: 3}
	fake.events <- native.Event{Kind: native.EventFinished, Status: native.StatusFailed, Text: "refused", Tokens: tokens}
	if result := within(t, results, "answer"); result.err == nil {
		t.Fatal("it was served")
	}
	if len(fake.confirmed) != 0 || !strings.HasPrefix(fake.refused[3], "Go rejects its certificate: ") {
		t.Errorf("confirmed %v, refused %v", fake.confirmed, fake.refused)
	}
	if !fake.keys[3].isClosed() {
		t.Error("its key is still open")
	}
}

func TestAPanicWhileReadingACandidateIsARefusal(t *testing.T) {
	getter, fake, _ := newGetter(t)
	fake.keep(t, 3, "a.example")
	fake.chains[3] = nil // the index panics
	results, tokens := handshakes(t, getter, fake, "a.example", 1)
	fake.events <- native.Event{Kind: native.EventCandidate, Entry: 3}
	fake.events <- native.Event{Kind: native.EventFinished, Status: native.StatusFailed, Text: "refused", Tokens: tokens}
	within(t, results, "answer")
	if !strings.HasPrefix(fake.refused[3], "panic while reading its certificate") || !fake.keys[3].isClosed() {
		t.Errorf("refused %v", fake.refused)
	}
}

func TestARetiredEntryIsDropped(t *testing.T) {
	getter, fake, _ := newGetter(t)
	fake.keep(t, 7, "a.example")
	fake.answer("a.example", native.Answer{Status: native.StatusHit, Entry: 7})
	if _, err := getter.GetCertificate(context.Background(), helloFor("a.example")); err != nil {
		t.Fatal(err)
	}
	fake.events <- native.Event{Kind: native.EventRetired, Entry: 7}
	deadline := time.Now().Add(5 * time.Second)
	for getter.lease.entries.certificate(7) != nil {
		if time.Now().After(deadline) {
			t.Fatal("it is still there")
		}
		time.Sleep(time.Millisecond)
	}
}
