package e2e

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// 50 names, two handshakes each, TLS 1.2 and 1.3, all kinds of keys: 50 requests.
func TestOneRequestPerName(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Status(http.StatusNoContent))
	algorithms := []testca.Algorithm{testca.P256, testca.RSA2048, testca.P384, testca.RSA2048, testca.Ed25519}
	public := []x509.PublicKeyAlgorithm{x509.ECDSA, x509.RSA, x509.ECDSA, x509.RSA, x509.Ed25519}
	names := make([]string, 50)
	for i := range names {
		names[i] = fmt.Sprintf("shop-%d.example.com", i)
		backend.Answer(names[i], testbackend.Certificate(authority, algorithms[i%5], "s-maxage=3600"))
	}
	c := startCaddy(t, site{url: backend.URL()})

	serials := map[string]string{}
	for round, versions := range [][]hello{{tls12, tls13}, {tls13, tls12}} {
		for i, name := range names {
			certificate, err := c.handshake(name, versions[i%2])
			if err != nil {
				t.Fatalf("%s, round %d: %v", name, round+1, err)
			}
			if certificate.PublicKeyAlgorithm != public[i%5] {
				t.Errorf("%s: a certificate with %v", name, certificate.PublicKeyAlgorithm)
			}
			if round == 0 {
				serials[name] = certificate.SerialNumber.String()
			} else if serials[name] != certificate.SerialNumber.String() {
				t.Errorf("%s: another certificate the second time", name)
			}
		}
	}
	requests := backend.Requests()
	t.Logf("%d handshakes, %d backend requests", 2*len(names), len(requests))
	if len(requests) != len(names) {
		t.Errorf("%d backend requests for %d names", len(requests), len(names))
	}
	for _, name := range names {
		if backend.Count(name) != 1 {
			t.Errorf("%s: %d requests", name, backend.Count(name))
		}
	}
	c.expectNoACME()
}

// Names that are the same to DNS are one name here, asked for in lower case.
func TestSpellingsShareAnEntry(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "max-age=600"))
	c := startCaddy(t, site{url: backend.URL()})
	c.handshakes("SHOP.Example.com", "shop.example.com", "shop.example.COM")
	asked := slices.Collect(func(yield func(string) bool) {
		for _, request := range backend.Requests() {
			if !yield(request.Name) {
				return
			}
		}
	})
	if !slices.Equal(asked, []string{"shop.example.com"}) {
		t.Errorf("the backend was asked for %q", asked)
	}
}

// An answer without any header is kept for default_ttl; ttl overrides what the answer says.
func TestLifetimes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cacheControl string
		options      []string
		requests     int // of three handshakes
	}{
		"silent":               {"", nil, 1},
		"short default_ttl":    {"", []string{"default_ttl 1ms", "stale_if_error off"}, 3},
		"no-store":             {"no-store", nil, 3},
		"private":              {"private", nil, 3},
		"s-maxage before":      {"max-age=0, s-maxage=60", nil, 1},
		"zero":                 {"max-age=0", nil, 3},
		"pinned over no-cache": {"no-cache, private", []string{"ttl 1h"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backend := startBackend(t, testbackend.Certificate(authority, testca.P256, test.cacheControl))
			c := startCaddy(t, site{url: backend.URL(), options: test.options})
			for range 3 {
				c.handshakes("a.example.com")
				time.Sleep(20 * time.Millisecond) // the clock that lifetimes are counted by is a coarse one
			}
			if count := backend.Count("a.example.com"); count != test.requests {
				t.Errorf("%d requests, want %d", count, test.requests)
			}
			// What is never kept is said once, with the way out.
			if test.requests == 3 && test.cacheControl != "" {
				warnings := func() int { return len(c.notable("cache-control", "ttl")) }
				eventually(t, startLimit, "a warning that answers are not kept", func() bool { return warnings() > 0 })
				if warnings := warnings(); warnings != 1 {
					t.Errorf("%d warnings that answers are not kept", warnings)
				}
			}
		})
	}
}

// An entry ends with its certificate, however long the backend says it may be kept.
func TestExpiredCertificateIsNotServed(t *testing.T) {
	t.Parallel()
	const name = "a.example.com"
	backend := startBackend(t, testbackend.Status(http.StatusNoContent))
	c := startCaddy(t, site{url: backend.URL(), options: []string{"ttl 1h"}})
	ends := time.Now().Add(8 * time.Second)
	old := authority.Issue(testca.Leaf{Names: []string{name}, NotAfter: ends})
	renewed := authority.Issue(testca.Leaf{Names: []string{name}})
	backend.AnswerOthers(testbackend.Text(old.PEM(), "s-maxage=3600"))
	if certificate, err := c.handshake(name); err != nil || !bytes.Equal(certificate.Raw, old.Chain[0]) {
		t.Fatalf("the first certificate is not served: %v", err)
	}
	backend.AnswerOthers(testbackend.Text(renewed.PEM(), "s-maxage=3600"))
	time.Sleep(time.Until(ends) + 20*time.Millisecond) // Caddy's clock is a coarse one
	if certificate, err := c.handshake(name); err != nil || !bytes.Equal(certificate.Raw, renewed.Chain[0]) {
		t.Errorf("the renewed certificate is not served: %v", err)
	}
}
