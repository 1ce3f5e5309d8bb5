package store

import (
	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// Event is the end of a request to the backend.
type Event struct {
	Outcome    Outcome
	ServerName string
	Backend    string
	Reason     string // of Failed
}

// Outcome is how a request ended.
type Outcome int

// The outcomes.
const (
	Fetched       Outcome = iota + 1 // a certificate came from the backend, or is still the right one
	NoCertificate                    // the backend has no certificate for the name
	Failed                           // the backend gave no usable answer
)

// maxEvents wait for their handlers; beyond them events are lost, since the pump waits for nobody.
const maxEvents = 1024

// eventOf tells what the end of a fetch is to the host. What the disk knew is no news.
func eventOf(finished native.Event, backend string) (event Event, isNews bool) {
	event = Event{ServerName: finished.ServerName, Backend: backend}
	switch finished.Status {
	case native.StatusHit:
		event.Outcome = Fetched
	case native.StatusNegative:
		event.Outcome = NoCertificate
	case native.StatusFailed:
		event.Outcome, event.Reason = Failed, capped(finished.Text)
	default:
		return Event{}, false
	}
	return event, finished.AskedBackend
}
