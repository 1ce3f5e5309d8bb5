package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// Asking the backend though no handshake wants it.

// kinds of clients, in the order in which they are asked for: browsers first, whose certificate serves most.
var kinds = []native.HelloFlags{
	native.HelloECDSA,
	0, // RSA only
	native.HelloECDSA | native.HelloEd25519,
}

// Refresh asks the backend for a name now, whatever is known and whatever failed before. What is held is served until a
// newer one is accepted.
func (s *Store) Refresh(ctx context.Context, name string) RefreshResult {
	result := RefreshResult{Name: name, Outcome: OutcomeFailed}
	for index, kind := range kinds {
		outcome, reason := s.ask(ctx, name, kind, native.AskRefresh)
		if outcome == "" {
			continue // nothing of this kind is held
		}
		if index == 0 || isWorse(outcome, result.Outcome) {
			result.Outcome, result.Reason = outcome, reason
		}
		if outcome == OutcomeFailed {
			break
		}
	}
	return result
}

// isWorse tells whether an operator must hear of one outcome rather than the other.
func isWorse(one, other RefreshOutcome) bool {
	severity := map[RefreshOutcome]int{OutcomeFresh: 0, OutcomeNotModified: 1, OutcomeNoCertificate: 2, OutcomeFound: 3, OutcomeFailed: 4}
	return severity[one] > severity[other]
}

// Prefetch asks the backend for what is not held and fresh of a name: its certificate for browsers, and if that is none
// that every client can use, the one for others.
func (s *Store) Prefetch(ctx context.Context, name string) RefreshResult {
	outcome, reason := s.ask(ctx, name, kinds[0], native.AskPrefetch)
	result := RefreshResult{Name: name, Outcome: outcome, Reason: reason}
	if outcome != OutcomeFound && outcome != OutcomeFresh && outcome != OutcomeNotModified {
		return result
	}
	// Answered from what is held if it is for all.
	if outcome, reason := s.ask(ctx, name, kinds[1], native.AskPrefetch); isWorse(outcome, result.Outcome) && outcome != OutcomeNoCertificate {
		result.Outcome, result.Reason = outcome, reason
	}
	return result
}

// PrefetchShare is how many prefetches may be under way at once: as many as the engine has workers that handshakes leave
// alone.
func (s *Store) PrefetchShare() int {
	return max(1, s.Limits().MaxConcurrentFetches/8)
}

// ask asks for one kind of client, and waits for the answer. No outcome means that there is nothing to refresh.
func (s *Store) ask(ctx context.Context, name string, kind native.HelloFlags, mode native.AskMode) (RefreshOutcome, string) {
	lease := s.runningLease()
	if lease == nil {
		return OutcomeFailed, ErrNotRunning.Error()
	}
	token, done := s.waiters.register()
	defer s.waiters.forget(token)
	answer := lease.lookups.Ask(name, kind, mode, token)
	if answer.Status != native.StatusPending {
		return outcomeOf(fetchResult{answer: answer})
	}
	timeout := time.NewTimer(lease.timeout + waitGrace)
	defer timeout.Stop()
	select {
	case result := <-done:
		return outcomeOf(result)
	case <-s.closing:
		return OutcomeFailed, ErrNotRunning.Error()
	case <-ctx.Done():
		return OutcomeFailed, errors.Join(errNoAnswer, context.Cause(ctx)).Error()
	case <-timeout.C:
		return OutcomeFailed, fmt.Sprintf("the backend has not answered within %v", lease.timeout)
	}
}

func outcomeOf(result fetchResult) (RefreshOutcome, string) {
	answer := result.answer
	switch answer.Status {
	case native.StatusMiss:
		return "", ""
	case native.StatusHit, native.StatusUnsupportedKeyType:
		// A certificate of another kind than asked for is one all the same.
		switch {
		case result.notModified:
			return OutcomeNotModified, ""
		case result.askedBackend:
			return OutcomeFound, ""
		default:
			return OutcomeFresh, ""
		}
	case native.StatusNegative:
		return OutcomeNoCertificate, ""
	default:
		return OutcomeFailed, capped((&native.Error{Status: answer.Status, Message: answer.Reason}).Error())
	}
}
