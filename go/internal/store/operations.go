package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// What can be asked of a store, always through a lease, whose settings apply.

// The answers that are no failure: there is no certificate, or no name that anybody could own.
var (
	ErrNoCertificate = &native.Error{Status: native.StatusNegative}
	ErrInvalidName   = &native.Error{Status: native.StatusInvalidName}
)

// Lookup returns the certificate for a handshake, or a *native.Error that says why there is none. A name that is known
// takes one call without waiting and one map lookup; any other waits for its fetch, at most for the lease's timeout.
func (l *Lease) Lookup(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	certificate, err := l.lookup(hello)
	if errors.Is(err, native.ErrGone) {
		// The entry left memory between two calls. The second try fetches it, or finds a newer one.
		return l.lookup(hello)
	}
	return certificate, err
}

func (l *Lease) lookup(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	flags := helloFlags(hello)
	answer := l.lookups.Lookup(hello.ServerName, flags, "", 0)
	if answer.Status == native.StatusMiss {
		result := l.fetch(hello, flags)
		if result.certificate != nil {
			return result.certificate, nil
		}
		answer = result.answer
	}
	if isFound(answer) {
		return l.certificate(answer.Entry)
	}
	return nil, &native.Error{Status: answer.Status, Message: answer.Reason}
}

// Peek tells what is known about a handshake's name, without waiting; native.StatusMiss if nothing is. It is not
// counted as a handshake, and knows for a moment of a 204 that must not be stored.
func (l *Lease) Peek(hello *tls.ClientHelloInfo) native.Answer {
	return l.lookups.Lookup(hello.ServerName, helloFlags(hello)|native.Peek, "", 0)
}

// Fetch is Peek that waits for the name's fetch if nothing is known.
func (l *Lease) Fetch(hello *tls.ClientHelloInfo) native.Answer {
	return l.fetch(hello, helloFlags(hello)|native.Peek).answer
}

// waitGrace is how much longer than the backend's deadline a handshake waits to be told of it.
const waitGrace = 400 * time.Millisecond

// fetchResult is how a fetch ended. certificate is set if the pump has built it, which it alone can for an answer
// that is not stored.
type fetchResult struct {
	answer       native.Answer
	certificate  *tls.Certificate
	askedBackend bool
	notModified  bool
}

// fetch joins the fetch of the name, or starts it, and waits for its end. The fetch goes on if this handshake
// gives up.
func (l *Lease) fetch(hello *tls.ClientHelloInfo, flags native.HelloFlags) fetchResult {
	token, done := l.waiters.register()
	defer l.waiters.forget(token)
	answer := l.lookups.Lookup(hello.ServerName, flags, helloQuery(hello), token)
	if answer.Status != native.StatusPending {
		return fetchResult{answer: answer}
	}
	return l.wait(context.Background(), done, l.timeout+waitGrace)
}

// wait returns how a fetch has ended, or why it is waited for no longer.
func (l *Lease) wait(ctx context.Context, done <-chan fetchResult, longest time.Duration) fetchResult {
	timeout := time.NewTimer(longest)
	defer timeout.Stop()
	ended := native.Answer{Status: native.StatusFailed}
	select {
	case result := <-done:
		return result
	case <-l.closing:
		ended.Status = native.StatusClosed
	case <-ctx.Done():
		ended.Reason = errors.Join(errNoAnswer, context.Cause(ctx)).Error()
	case <-timeout.C:
		ended.Reason = fmt.Sprintf("the backend has not answered within %v", l.timeout)
	}
	return fetchResult{answer: ended}
}

// isFound tells whether an answer names an entry to serve.
func isFound(answer native.Answer) bool {
	return answer.Status == native.StatusHit || answer.Status == native.StatusStale
}
