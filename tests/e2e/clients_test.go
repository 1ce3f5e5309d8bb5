package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
)

const handshakeLimit = 20 * time.Second

// hello changes what a client offers.
type hello func(*tls.Config)

func tls12(config *tls.Config) { config.MaxVersion = tls.VersionTLS12 }
func tls13(config *tls.Config) { config.MinVersion = tls.VersionTLS13 }

// rsaOnly is an old client: no ECDSA suite, so an ECDSA certificate is of no use to it.
func rsaOnly(config *tls.Config) {
	config.MaxVersion = tls.VersionTLS12
	config.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}
}

// handshake opens a full handshake as a browser does: the certificate must be for the name, in date, and lead to the
// authority. It returns the leaf.
func (c *caddy) handshake(name string, hellos ...hello) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeLimit)
	defer cancel()
	return c.handshakeWithin(ctx, name, hellos...)
}

func (c *caddy) handshakeWithin(ctx context.Context, name string, hellos ...hello) (*x509.Certificate, error) {
	dialer := tls.Dialer{Config: clientConfig(name, hellos...)}
	connection, err := dialer.DialContext(ctx, "tcp", c.address())
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	return leaf(connection.(*tls.Conn).ConnectionState())
}

// handshakeQUIC is the same over HTTP/3's transport.
func (c *caddy) handshakeQUIC(ctx context.Context, name string) (*x509.Certificate, error) {
	config := clientConfig(name)
	config.NextProtos = []string{"h3"}
	connection, err := quic.DialAddr(ctx, c.address(), config, &quic.Config{HandshakeIdleTimeout: handshakeLimit})
	if err != nil {
		return nil, err
	}
	defer connection.CloseWithError(0, "")
	return leaf(connection.ConnectionState().TLS)
}

// handshakes opens one per name and wants each to succeed.
func (c *caddy) handshakes(names ...string) {
	c.t.Helper()
	for _, name := range names {
		_, err := c.handshake(name)
		// After a reload, Linux resets connections that waited at Caddy's former socket, see README.md.
		for tries := 0; wasReset(err) && tries < 3; tries++ {
			_, err = c.handshake(name)
		}
		if err != nil {
			c.t.Errorf("%s: %v", name, err)
		}
	}
}

// refused wants the handshake to fail, and by the server's will.
func (c *caddy) refused(name string, hellos ...hello) {
	c.t.Helper()
	_, err := c.handshake(name, hellos...)
	var alert *net.OpError // crypto/tls wraps a received alert as "remote error"
	if !errors.As(err, &alert) || alert.Op != "remote error" {
		c.t.Errorf("%s: the handshake was not refused by the server but: %v", name, err)
	}
}

func clientConfig(name string, hellos ...hello) *tls.Config {
	config := &tls.Config{ServerName: name, RootCAs: authority.Roots()}
	for _, change := range hellos {
		change(config)
	}
	return config
}

func leaf(state tls.ConnectionState) (*x509.Certificate, error) {
	if state.DidResume {
		return nil, errors.New("a resumed handshake shows nothing here")
	}
	return state.PeerCertificates[0], nil
}

// startBackend starts a backend that ends with the test; other names than those set get this answer.
func startBackend(t *testing.T, others testbackend.Answer) *testbackend.Server {
	server := testbackend.Start()
	server.AnswerOthers(others)
	t.Cleanup(server.Close)
	return server
}

// trustAnyone is for certificates of an authority that makes up its own root.
func trustAnyone(config *tls.Config) { config.InsecureSkipVerify = true }
