package cachedhttp

import (
	"context"
	"crypto/tls"
	"fmt"
)

// GetCertificate returns the certificate for a handshake; nil without an error hands the name on to Caddy's
// other managers and issuers.
//
// The handshake's own context is not looked at: certmagic lets one handshake ask for all that arrive for a name, so an
// error because this client has left would fail the others too.
func (g *CertGetter) GetCertificate(_ context.Context, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	// Servers accept connections a little before Caddy says that all apps have started.
	g.lease.Start()
	certificate, err := g.lease.Lookup(hello)
	if err == nil {
		return certificate, nil
	}
	if certificate := g.names.Load().defaultCertificate(hello); certificate != nil {
		return certificate, nil
	}
	if g.passes(hello, err) {
		return nil, nil
	}
	g.lease.CountFailure(err)
	return nil, fmt.Errorf("cached_http: %q: %w", cappedName(hello.ServerName), err)
}

// maxNameLength is the longest DNS name; a client may send far more.
const maxNameLength = 253

func cappedName(name string) string {
	return name[:min(len(name), maxNameLength)]
}
