// Package baseline is what we measure ourselves against: a certificate cache in plain Go, written as one would
// for a company's own Caddy. A map with a lifetime, one fetch per name, nothing more: no disk, no limits, no
// stale answers. It is registered as tls.get_certificate.pure_go_cache.
package baseline

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"
	"golang.org/x/sync/singleflight"
)

func init() {
	caddy.RegisterModule(new(PureGoCache))
}

// maxBundle bounds what is read of one response, in bytes.
const maxBundle = 1 << 20

// PureGoCache asks the backend once per name and lifetime.
type PureGoCache struct {
	// The backend; it gets the query string server_name.
	URL string `json:"url,omitempty"`
	// How long an answer is kept. Default: 1h.
	TTL caddy.Duration `json:"ttl,omitempty"`

	backend *url.URL
	client  *http.Client
	fetches singleflight.Group

	mutex   sync.RWMutex
	entries map[string]entry
}

type entry struct {
	certificate *tls.Certificate // nil: the backend has none for this name
	expires     time.Time
}

// CaddyModule tells Caddy the module's name.
func (*PureGoCache) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "tls.get_certificate.pure_go_cache",
		New: func() caddy.Module { return new(PureGoCache) },
	}
}

// Provision sets up the client, with connections enough for many misses at once.
func (p *PureGoCache) Provision(caddy.Context) error {
	backend, err := url.Parse(p.URL)
	if err != nil || backend.Host == "" {
		return fmt.Errorf("pure_go_cache needs the URL of a backend, not %q", p.URL)
	}
	if p.TTL == 0 {
		p.TTL = caddy.Duration(time.Hour)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 256, 256
	p.backend = backend
	p.client = &http.Client{Transport: transport, Timeout: 10 * time.Second}
	p.entries = make(map[string]entry)
	return nil
}

// Cleanup lets go of idle connections.
func (p *PureGoCache) Cleanup() error {
	p.client.CloseIdleConnections()
	return nil
}

// GetCertificate answers from the map, or asks the backend, once for all handshakes that wait for the name.
func (p *PureGoCache) GetCertificate(_ context.Context, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	p.mutex.RLock()
	found, ok := p.entries[name]
	p.mutex.RUnlock()
	if ok && time.Now().Before(found.expires) {
		return found.certificate, nil
	}
	certificate, err, _ := p.fetches.Do(name, func() (any, error) {
		certificate, err := p.fetch(name)
		if err == nil {
			p.mutex.Lock()
			p.entries[name] = entry{certificate, time.Now().Add(time.Duration(p.TTL))}
			p.mutex.Unlock()
		}
		return certificate, err
	})
	if err != nil {
		return nil, err
	}
	return certificate.(*tls.Certificate), nil
}

// fetch has the client's timeout rather than the handshake's context: others may wait for the same answer.
func (p *PureGoCache) fetch(name string) (*tls.Certificate, error) {
	target := *p.backend
	query := target.Query()
	query.Set("server_name", name)
	target.RawQuery = query.Encode()

	response, err := p.client.Get(target.String())
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNoContent:
		return nil, nil
	default:
		return nil, fmt.Errorf("the backend answered %s for %s", response.Status, name)
	}
	bundle, err := io.ReadAll(io.LimitReader(response.Body, maxBundle))
	if err != nil {
		return nil, err
	}
	certificate, err := tls.X509KeyPair(bundle, bundle) // sets Leaf, so a handshake parses nothing
	if err != nil {
		return nil, err
	}
	return &certificate, certificate.Leaf.VerifyHostname(name)
}

// UnmarshalCaddyfile reads
//
//	... pure_go_cache <url>
func (p *PureGoCache) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.Args(&p.URL) {
		return d.ArgErr()
	}
	return nil
}

var (
	_ certmagic.Manager     = (*PureGoCache)(nil)
	_ caddy.Provisioner     = (*PureGoCache)(nil)
	_ caddy.CleanerUpper    = (*PureGoCache)(nil)
	_ caddyfile.Unmarshaler = (*PureGoCache)(nil)
)
