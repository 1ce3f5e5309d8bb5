package store

import (
	"context"
	"errors"
	"sync/atomic"
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
		asked := s.ask(ctx, name, kind, native.AskRefresh)
		if asked.outcome == "" {
			continue // nothing of this kind is held
		}
		if index == 0 || isWorse(asked.outcome, result.Outcome) {
			result.Outcome, result.Reason = asked.outcome, asked.reason
		}
		if asked.outcome == OutcomeFailed {
			break
		}
	}
	return result
}

// severity orders outcomes by what an operator must hear of first.
var severity = map[RefreshOutcome]int{
	OutcomeFresh: 0, OutcomeNotModified: 1, OutcomeNoCertificate: 2, OutcomeFound: 3, OutcomeFailed: 4,
}

func isWorse(one, other RefreshOutcome) bool { return severity[one] > severity[other] }

// Prefetch asks the backend for what is not held and fresh of a name: its certificate for browsers, and if that is none
// that every client can use, the one for others.
func (s *Store) Prefetch(ctx context.Context, name string) RefreshResult {
	asked := s.ask(ctx, name, kinds[0], native.AskPrefetch)
	result := RefreshResult{name, asked.outcome, asked.reason}
	isHeld := asked.outcome == OutcomeFound || asked.outcome == OutcomeFresh || asked.outcome == OutcomeNotModified
	if !isHeld || !s.secondKind.isWorthAsking() {
		return result
	}
	// Answered from what is held if it is for all.
	second := s.ask(ctx, name, kinds[1], native.AskPrefetch)
	if second.outcome == OutcomeFound {
		s.secondKind.note(!second.isUnsupported)
	}
	if isWorse(second.outcome, result.Outcome) && second.outcome != OutcomeNoCertificate {
		result.Outcome, result.Reason = second.outcome, second.reason
	}
	return result
}

// secondKind learns whether a backend has certificates of two kinds: most have one, and asking twice for each name would be
// in vain. After some names in a row without, every so many-th is asked for.
type secondKind struct{ missed atomic.Uint32 }

// The first names, and then one of so many, are asked for.
const secondKindEvery = 32

func (k *secondKind) isWorthAsking() bool {
	missed := k.missed.Load()
	if missed < secondKindEvery {
		return true
	}
	return k.missed.Add(1)%secondKindEvery == 0
}

func (k *secondKind) note(has bool) {
	switch {
	case has:
		k.missed.Store(0)
	case k.missed.Load() < secondKindEvery:
		k.missed.Add(1)
	}
}

// PrefetchShare is how many prefetches may be under way at once: as many as the engine has workers that handshakes leave
// alone.
func (s *Store) PrefetchShare() int {
	return max(1, s.Limits().MaxConcurrentFetches/8)
}

// asked is what came of asking. No outcome means that there is nothing to refresh.
type asked struct {
	outcome       RefreshOutcome
	reason        string // of OutcomeFailed
	isUnsupported bool   // the certificate is of a kind that these clients can't use
}

func failed(reason string) asked { return asked{outcome: OutcomeFailed, reason: reason} }

// ask asks for one kind of client, and waits for the answer.
func (s *Store) ask(ctx context.Context, name string, kind native.HelloFlags, mode native.AskMode) asked {
	lease := s.runningLease()
	if lease == nil {
		return failed(ErrNotRunning.Error())
	}
	token, done := s.waiters.register()
	defer s.waiters.forget(token)
	patience := time.Now().Add(lease.timeout)
	answer := lease.lookups.Ask(name, kind, mode, token)
	for answer.Status == native.StatusOverloaded {
		if time.Now().After(patience) {
			return failed("the disk under cache_dir does not keep up")
		}
		select {
		case <-time.After(busyPause):
		case <-s.closing:
			return failed(ErrNotRunning.Error())
		case <-ctx.Done():
			return failed(errors.Join(errNoAnswer, context.Cause(ctx)).Error())
		}
		answer = lease.lookups.Ask(name, kind, mode, token)
	}
	if answer.Status != native.StatusPending {
		return outcomeOf(fetchResult{answer: answer})
	}
	longest := lease.timeout + waitGrace
	if mode == native.AskRefresh {
		longest += lease.timeout // what is under way ends first
	}
	return outcomeOf(lease.wait(ctx, done, longest))
}

// busyPause is how long a prefetch waits for the disk before it asks again.
const busyPause = 20 * time.Millisecond

func outcomeOf(result fetchResult) asked {
	answer := result.answer
	switch answer.Status {
	case native.StatusMiss:
		return asked{}
	case native.StatusHit, native.StatusUnsupportedKeyType:
		// A certificate of another kind than asked for is one all the same.
		is := asked{outcome: OutcomeFresh, isUnsupported: answer.Status == native.StatusUnsupportedKeyType}
		switch {
		case result.notModified:
			is.outcome = OutcomeNotModified
		case result.askedBackend:
			is.outcome = OutcomeFound
		}
		return is
	case native.StatusNegative:
		return asked{outcome: OutcomeNoCertificate}
	default:
		return failed(capped((&native.Error{Status: answer.Status, Message: answer.Reason}).Error()))
	}
}
