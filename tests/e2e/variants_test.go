package e2e

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// A backend with certificates of both kinds: each client gets one it can use, and each kind is asked for once.
func TestVariantsByClient(t *testing.T) {
	t.Parallel()
	const name = "both.example.com"
	backend := startBackend(t, testbackend.ByClient(
		testbackend.Certificate(authority, testca.P256, "s-maxage=3600"),
		testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600"),
	))
	c := startCaddy(t, site{url: backend.URL()})
	for range 2 {
		for _, test := range []struct {
			client hello
			want   x509.PublicKeyAlgorithm
		}{{tls13, x509.ECDSA}, {rsaOnly, x509.RSA}, {tls12, x509.ECDSA}} {
			certificate, err := c.handshake(name, test.client)
			if err != nil {
				t.Fatal(err)
			}
			if certificate.PublicKeyAlgorithm != test.want {
				t.Errorf("got %v, want %v", certificate.PublicKeyAlgorithm, test.want)
			}
		}
	}
	if count := backend.Count(name); count != 2 {
		t.Errorf("%d requests for two kinds", count)
	}
}

// An RSA certificate serves old clients and new ones.
func TestRSAServesBoth(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600"))
	c := startCaddy(t, site{url: backend.URL()})
	for _, client := range []hello{tls13, rsaOnly, tls12, rsaOnly} {
		if _, err := c.handshake("rsa.example.com", client); err != nil {
			t.Error(err)
		}
	}
	if count := backend.Count("rsa.example.com"); count != 1 {
		t.Errorf("%d requests", count)
	}
	// The old client first: the new one may ask whether there is something better, once.
	for _, client := range []hello{rsaOnly, tls13, rsaOnly, tls13} {
		if _, err := c.handshake("old-first.example.com", client); err != nil {
			t.Error(err)
		}
	}
	if count := backend.Count("old-first.example.com"); count > 2 {
		t.Errorf("%d requests", count)
	}
}

// A client that can't use ECDSA is never given such a certificate, and doesn't ask the backend over and over.
func TestECDSAIsNotForOldClients(t *testing.T) {
	t.Parallel()
	const name = "ecdsa.example.com"
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	// A certificate of another kind is no "no": neither is a permission asked for one of Caddy's own, nor the backend
	// again. Of the one name the old client comes first.
	permission := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the permission was asked")
	}))
	t.Cleanup(permission.Close)
	c := startCaddy(t, site{
		url: backend.URL(), options: []string{"on_negative pass"},
		global: []string{"on_demand_tls {", "\task " + permission.URL, "}"},
	})
	for range 3 {
		c.refused("first."+name, rsaOnly)
	}
	c.handshakes("first."+name, name)
	for range 3 {
		c.refused(name, rsaOnly)
	}
	c.handshakes(name)
	if count := backend.Count(name); count > 2 {
		t.Errorf("%d requests", count)
	}
	c.expectNoACME()
}
