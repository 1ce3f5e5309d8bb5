package store_test

import (
	"testing"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
	"github.com/cached-http/caddy-cached-http/go/internal/store/storetest"
)

// A candidate is kept as long as its fetch, whether or not the client that set the fetch in motion can use it.
func TestThePumpKeepsNoCandidateLongerThanItsFetch(t *testing.T) {
	fake := storetest.New()
	fake.Keep(3, "a.example")
	pump := store.NewPump(fake)
	for _, status := range []native.Status{native.StatusHit, native.StatusFailed} {
		pump.Handle(native.Event{Kind: native.EventCandidate, Entry: 3})
		if pump.Candidates() != 1 {
			t.Fatal("not kept at all")
		}
		token, done := pump.Register()
		pump.Handle(native.Event{Kind: native.EventFinished, Status: status, Entry: 3, Tokens: []uint64{token}})
		if pump.Candidates() != 0 {
			t.Error("it is kept for good")
		}
		if hasCertificate := done(); hasCertificate != (status == native.StatusHit) {
			t.Errorf("%v: %v", status, hasCertificate)
		}
	}
}
