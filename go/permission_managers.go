package cachedhttp

import (
	"context"
	"crypto/tls"
	"errors"

	"github.com/caddyserver/certmagic"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

var errNoManager = errors.New("permission cached_http needs a get_certificate cached_http in the configuration, or ask")

// managersAnswer is what all managers know of a name. It doesn't depend on which of them was asked before.
type managersAnswer struct {
	found   bool  // one has the certificate
	listed  bool  // the configuration lists the name as another site's
	failure error // one is unsure
	denied  bool  // one has no certificate and says on_negative deny
}

// askManagers asks all at once, so that the slowest bounds the time. What a handshake has asked just before is at hand.
func askManagers(leases []*store.Lease, hello *tls.ClientHelloInfo) (all managersAnswer) {
	answers := make(chan leaseAnswer, len(leases))
	asked := 0
	for _, lease := range leases {
		getter := lease.Host().(storeHost).getter
		all.listed = all.listed || getter.names.Load().listingOf(hello.ServerName) == listedAsOther
		answer := lease.Peek(hello)
		if answer.Status == native.StatusMiss {
			asked++
			go func() { answers <- leaseAnswer{getter, lease.Fetch(hello)} }()
			continue
		}
		all.add(leaseAnswer{getter, answer})
	}
	for ; asked > 0 && !all.found; asked-- {
		all.add(<-answers)
	}
	return all
}

// leaseAnswer is what one manager knows.
type leaseAnswer struct {
	getter *CertGetter
	answer native.Answer
}

func (m *managersAnswer) add(one leaseAnswer) {
	switch one.answer.Status {
	case native.StatusHit, native.StatusStale:
		m.found = true
	case native.StatusNegative, native.StatusInvalidName:
		m.denied = m.denied || !one.getter.passesNegatives()
	default:
		m.failure = errors.Join(m.failure, &native.Error{Status: one.answer.Status, Message: one.answer.Reason})
	}
}

// helloOf is the handshake that wants the certificate, for this name; without a handshake (at a renewal), one of a
// client that can use every certificate. isForName is false if the client named another or none: certmagic then takes
// default_sni, or the address.
func helloOf(ctx context.Context, name string) (hello *tls.ClientHelloInfo, isForName bool) {
	hello = &tls.ClientHelloInfo{
		CipherSuites:      []uint16{tls.TLS_AES_128_GCM_SHA256},
		SignatureSchemes:  []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256},
		SupportedVersions: []uint16{tls.VersionTLS13},
		ServerName:        name,
	}
	own, _ := ctx.Value(certmagic.ClientHelloInfoCtxKey).(*tls.ClientHelloInfo)
	if own == nil {
		return hello, true
	}
	isForName = normalName(own.ServerName) == normalName(name)
	*hello = *own //nolint:govet // the context in it is not used
	hello.ServerName = name
	return hello, isForName
}
