package store

import (
	"testing"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

func TestEventsTellWhatTheBackendSaid(t *testing.T) {
	finished := native.Event{Kind: native.EventFinished, ServerName: "a.example", AskedBackend: true}
	for status, want := range map[native.Status]Outcome{
		native.StatusHit:        Fetched,
		native.StatusNegative:   NoCertificate,
		native.StatusFailed:     Failed,
		native.StatusOverloaded: 0,
		native.StatusBackedOff:  0,
	} {
		finished.Status = status
		if got, _ := eventOf(finished, "http://backend.example/"); got.Outcome != want {
			t.Errorf("%v: %v", status, got.Outcome)
		}
	}
	finished.AskedBackend = false
	if _, isNews := eventOf(finished, ""); isNews {
		t.Error("what the disk knew is no news")
	}
}
