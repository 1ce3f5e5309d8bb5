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

// managersKnow tells whether a manager has the certificate. That of the handshake's own policy was asked just before,
// so that most often one of them knows; only if none does, and it is wanted, they fetch.
func managersKnow(hello *tls.ClientHelloInfo, mayFetch bool) (bool, error) {
	var unsure []*store.Lease
	leases, denied := store.RunningLeases(), false
	for _, lease := range leases {
		switch lease.Peek(hello).Status {
		case native.StatusHit, native.StatusStale:
			return true, nil
		case native.StatusNegative, native.StatusInvalidName:
			denied = true
		default:
			unsure = append(unsure, lease)
		}
	}
	if len(leases) == 0 && mayFetch {
		return false, errNoManager
	}
	if denied || !mayFetch {
		return false, nil
	}
	var failed error
	for _, lease := range unsure {
		answer := lease.Fetch(hello)
		switch answer.Status {
		case native.StatusHit, native.StatusStale:
			return true, nil
		case native.StatusNegative, native.StatusInvalidName:
		default:
			failed = errors.Join(failed, &native.Error{Status: answer.Status, Message: answer.Reason})
		}
	}
	return false, failed
}

// helloOf is the handshake that wants the certificate, for this name; without a handshake (at a renewal), one of a
// client that can use every certificate.
func helloOf(ctx context.Context, name string) *tls.ClientHelloInfo {
	hello := tls.ClientHelloInfo{
		CipherSuites:      []uint16{tls.TLS_AES_128_GCM_SHA256},
		SignatureSchemes:  []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256},
		SupportedVersions: []uint16{tls.VersionTLS13},
	}
	if own, _ := ctx.Value(certmagic.ClientHelloInfoCtxKey).(*tls.ClientHelloInfo); own != nil {
		hello = *own
	}
	hello.ServerName = name
	return &hello
}
