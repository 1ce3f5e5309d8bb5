package cachedhttp

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store/storetest"
)

// newGetter makes a getter over a fake engine, without Caddy around it.
func newGetter(t testing.TB) (*CertGetter, *storetest.Engine, *observer.ObservedLogs) {
	opened := storetest.Use(t)
	getter := provisioned(t, `{"url": "http://backend.example/"}`)
	core, logs := observer.New(zap.DebugLevel)
	getter.logger = zap.New(core)
	t.Cleanup(func() {
		if err := getter.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	return getter, (*opened)[0], logs
}

func TestAHitTakesNoMemory(t *testing.T) {
	getter, fake, _ := newGetter(t)
	fake.Keep(7, "a.example")
	fake.Answer("a.example", native.Answer{Status: native.StatusHit, Entry: 7})
	hello := storetest.Hello("a.example")
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
	if fake.Opened != 1 {
		t.Errorf("the entry was opened %d times", fake.Opened)
	}
}

// Whatever becomes of the handshake that waits, the others get their answer: certmagic shares its result.
func TestAClientThatLeavesChangesNothing(t *testing.T) {
	getter, fake, _ := newGetter(t)
	fake.Keep(9, "a.example")
	ctx, leave := context.WithCancel(context.Background())
	results := make(chan error, 1)
	go func() {
		_, err := getter.GetCertificate(ctx, storetest.Hello("a.example"))
		results <- err
	}()
	token := storetest.Within(t, fake.Started, "fetch")
	leave()
	select {
	case err := <-results:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	fake.Events <- native.Event{Kind: native.EventCandidate, Entry: 9}
	fake.Events <- native.Event{Kind: native.EventFinished, Status: native.StatusHit, Entry: 9, Tokens: []uint64{token}}
	if err := storetest.Within(t, results, "answer"); err != nil {
		t.Fatal(err)
	}
}

func TestErrorsSayWhichNameAndWhy(t *testing.T) {
	getter, fake, _ := newGetter(t)
	getter.OnNegative = config.OnNegativeDeny
	long := strings.Repeat("a", 400)
	for name, test := range map[string]struct {
		answer native.Answer
		text   string
	}{
		"a.example":  {native.Answer{Status: native.StatusFailed, Reason: "refused: bad key"}, `cached_http: "a.example": refused: bad key`},
		"b.example":  {native.Answer{Status: native.StatusOverloaded}, `cached_http: "b.example": too many names wait for the backend; if it can take more requests at once, raise max_concurrent_fetches`},
		"c.example":  {native.Answer{Status: native.StatusBackedOff, Reason: "it was 502"}, `cached_http: "c.example": not asked again yet; the last answer was: it was 502`},
		"d.example":  {native.Answer{Status: native.StatusNegative}, `cached_http: "d.example": the backend has no certificate for this name`},
		"e.example":  {native.Answer{Status: native.StatusClosed}, `cached_http: "e.example": the certificate cache is closed`},
		"f.example":  {native.Answer{Status: 77}, `cached_http: "f.example": unknown status 77 of the certificate cache`},
		"10.0.0.1":   {native.Answer{Status: native.StatusInvalidName, Reason: "an address"}, `cached_http: "10.0.0.1": an address`},
		"a\xff\n\"b": {native.Answer{Status: native.StatusInvalidName, Reason: "bad"}, `cached_http: "a\xff\n\"b": bad`},
		long:         {native.Answer{Status: native.StatusInvalidName, Reason: "long"}, `cached_http: "` + long[:253] + `": long`},
	} {
		fake.Answer(name, test.answer)
		certificate, err := getter.GetCertificate(context.Background(), storetest.Hello(name))
		if certificate != nil || err == nil || err.Error() != test.text {
			t.Errorf("%q: %v", name, err)
		}
	}
}
