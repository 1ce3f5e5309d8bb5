package cachedhttp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// GetCertificate returns the certificate for a handshake; nil without an error hands the name on to Caddy's
// other managers and issuers.
//
// A name that is known takes one call without waiting and one map lookup; any other waits for the backend, at
// most for `timeout`. The handshake's own context is not looked at: certmagic lets one handshake ask for all
// that arrive for a name, so an error because this client has left would fail the others too.
func (getter *CertGetter) GetCertificate(_ context.Context, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !getter.host.serves.Load() {
		getter.host.serves.Store(true)
	}
	certificate, err := getter.lookUp(hello)
	if errors.Is(err, native.ErrGone) {
		// The entry left memory between two calls. The second try fetches it, or finds a newer one.
		certificate, err = getter.lookUp(hello)
	}
	if err != nil {
		return nil, fmt.Errorf("cached_http: %q: %w", cappedName(hello.ServerName), err)
	}
	return certificate, nil
}

func (getter *CertGetter) lookUp(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	flags := helloFlags(hello)
	answer := getter.instance.Lookup(hello.ServerName, flags, "", 0)
	if answer.Status == native.StatusMiss {
		result := getter.fetch(hello, flags)
		if result.certificate != nil {
			return result.certificate, nil
		}
		answer = result.answer
	}
	switch answer.Status {
	case native.StatusHit, native.StatusStale:
		return getter.lease.certificate(answer.Entry)
	case native.StatusNegative, native.StatusInvalidName:
		if getter.passesNegatives() {
			return nil, nil
		}
	}
	return nil, &native.Error{Status: answer.Status, Message: answer.Reason}
}

// waitGrace is how much longer than the backend's deadline a handshake waits to be told of it.
const waitGrace = 400 * time.Millisecond

// fetch joins the fetch of the name, or starts it, and waits for its end. The fetch goes on if this handshake
// gives up.
func (getter *CertGetter) fetch(hello *tls.ClientHelloInfo, flags native.HelloFlags) fetched {
	token, done := getter.lease.waiters.register()
	defer getter.lease.waiters.forget(token)
	answer := getter.instance.Lookup(hello.ServerName, flags, helloQuery(hello), token)
	if answer.Status != native.StatusPending {
		return fetched{answer: answer}
	}
	timeout := time.NewTimer(time.Duration(getter.Timeout) + waitGrace)
	defer timeout.Stop()
	select {
	case result := <-done:
		return result
	case <-getter.lease.closing:
		return fetched{answer: native.Answer{Status: native.StatusClosed}}
	case <-timeout.C:
		return fetched{answer: native.Answer{
			Status: native.StatusFailed,
			Reason: fmt.Sprintf("the backend has not answered within %v", time.Duration(getter.Timeout)),
		}}
	}
}

// maxNameLength is the longest DNS name; a client may send far more.
const maxNameLength = 253

func cappedName(name string) string {
	return name[:min(len(name), maxNameLength)]
}
