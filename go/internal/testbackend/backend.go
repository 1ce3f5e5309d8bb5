// Package testbackend is a certificate backend for the tests of this repository: it
// answers each name as it is told to (faults included), and counts what it was asked.
package testbackend

import (
	"crypto/x509"
	"testing"

	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// Backend is a server with an authority of its own, for one test.
type Backend struct {
	*Server
	Authority *testca.Authority
}

// New starts a backend that knows no name: it answers 204. It ends with the test.
func New(tb testing.TB) *Backend {
	tb.Helper()
	b := &Backend{Server: Start(), Authority: testca.NewAuthority()}
	tb.Cleanup(b.Close)
	return b
}

// Keep answers requests for a name with a bundle and, unless it is empty, this Cache-Control.
func (b *Backend) Keep(name string, bundle []byte, cacheControl string) {
	b.Answer(name, Text(bundle, cacheControl))
}

// Bundle makes a certificate for the names, and a PEM text of it, its chain and its key.
func (b *Backend) Bundle(algorithm testca.Algorithm, names ...string) []byte {
	return b.Authority.Issue(testca.Leaf{Names: names, Algorithm: algorithm}).PEM()
}

// Roots is what a client has to trust.
func (b *Backend) Roots() *x509.CertPool { return b.Authority.Roots() }
