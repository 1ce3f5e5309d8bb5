package store

import (
	"errors"
	"sync/atomic"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// failureReasons are why a handshake gets no certificate, as metrics name it.
var failureReasons = map[native.Status]string{
	native.StatusNegative:           "no_certificate",
	native.StatusInvalidName:        "invalid_name",
	native.StatusUnsupportedKeyType: "unsupported_key_type",
	native.StatusBackedOff:          "backed_off",
	native.StatusOverloaded:         "overloaded",
	native.StatusFailed:             "failed",
}

// otherReason is a bug, or a cache that is closing.
const otherReason = "other"

// failures counts failed handshakes by reason. Safe for concurrent use.
type failures map[string]*atomic.Uint64

func newFailures() failures {
	f := failures{otherReason: new(atomic.Uint64)}
	for _, reason := range failureReasons {
		f[reason] = new(atomic.Uint64)
	}
	return f
}

// CountFailure counts a handshake that ends with an error of Lookup.
func (s *Store) CountFailure(err error) {
	reason := otherReason
	if failed, ok := errors.AsType[*native.Error](err); ok {
		if known, isKnown := failureReasons[failed.Status]; isKnown {
			reason = known
		}
	}
	s.failures[reason].Add(1)
}

// Failures are the totals of CountFailure by reason.
func (s *Store) Failures() map[string]uint64 {
	totals := make(map[string]uint64, len(s.failures))
	for reason, count := range s.failures {
		totals[reason] = count.Load()
	}
	return totals
}
