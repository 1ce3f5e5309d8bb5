package e2e

import (
	"bytes"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// Names that nobody owns cost the backend nothing: no name, an address, a single label, and what scanners make up.
func TestOddServerNames(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	c := startCaddy(t, site{url: backend.URL()})
	for _, name := range []string{
		"localhost", "127.0.0.1", "169.254.169.254", "1.2.3.0x7f", ".example.com", "a..example.com", "-a.example.com",
		"*.example.com", "_dmarc.example.com", "a/../../b.example.com", "a.example.com&server_name=b", "a b.example.com",
		"a\x00.example.com", "\xff\xfe.example.com", strings.Repeat("a", 64) + ".example.com",
		strings.Repeat("abc.", 100) + "com",
	} {
		if err := c.rawServerName(name); err == nil {
			t.Errorf("%q: the handshake was not refused", name)
		}
	}
	if _, err := c.handshake("", trustAnyone); err == nil {
		t.Error("no server name: the handshake was not refused")
	}
	for _, request := range backend.Requests() {
		t.Errorf("the backend was asked for %q", request.Name)
	}
	c.expectNoACME()

	// The same way of sending a name, with one that is fine.
	_ = c.rawServerName("fine.example.com")
	if count := backend.Count("fine.example.com"); count != 1 {
		t.Errorf("%d requests for a name that is fine", count)
	}
}

// rawServerName sends a ClientHello with any bytes as its server name and returns what the server said. A name it
// serves is an error as well, of the client's own: it has signed another ClientHello.
func (c *caddy) rawServerName(name string) error {
	connection, err := net.DialTimeout("tcp", c.address(), handshakeLimit)
	if err != nil {
		return err
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(handshakeLimit))
	placeholder := strings.Repeat("p.", len(name)/2) + strings.Repeat("p", len(name)%2)
	placeholder = placeholder[:len(name)-1] + "p"
	config := &tls.Config{ServerName: placeholder, InsecureSkipVerify: true}
	return tls.Client(&replacing{connection, []byte(placeholder), []byte(name)}, config).Handshake()
}

// replacing is a connection that replaces a text in what is written, once.
type replacing struct {
	net.Conn
	from, to []byte
}

func (r *replacing) Write(data []byte) (int, error) {
	if len(r.from) > 0 && bytes.Contains(data, r.from) {
		data = bytes.Replace(data, r.from, r.to, 1)
		r.from = nil
	}
	return r.Conn.Write(data)
}
