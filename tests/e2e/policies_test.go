package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// The manager of one site has no say about another's names: neither its yes, nor its no, nor its outage. Caddy would not
// ask it either.
func TestAManagerOfOneSiteDecidesNothingAboutAnother(t *testing.T) {
	t.Parallel()
	for title, test := range map[string]struct {
		corporate testbackend.Answer // what the backend of *.corp.example.com says about any name
		option    string
		allows    bool // what ask says
	}{
		"it has any certificate, ask says no": {testbackend.Certificate(authority, testca.P256, "s-maxage=600"), "on_negative pass", false},
		"it denies, ask says yes":             {testbackend.Status(http.StatusNoContent), "on_negative deny", true},
		"it fails, ask says yes":              {testbackend.Status(http.StatusInternalServerError), "timeout 5s", true},
		"it hangs, ask says yes":              {testbackend.Hang(), "timeout 5s", true},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			ask := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				if !test.allows {
					response.WriteHeader(http.StatusNotFound)
				}
			}))
			defer ask.Close()
			shops := startBackend(t, testbackend.Status(http.StatusNoContent))
			corporate := startBackend(t, test.corporate)
			c := startCaddy(t, site{
				url:     shops.URL(),
				options: []string{"on_negative pass"},
				global:  []string{"on_demand_tls {", "\tpermission cached_http {", "\t\task " + ask.URL, "\t}", "}"},
				sites: fmt.Sprintf("https://*.corp.example.com:PORT {\n\tbind 127.0.0.1\n\ttls {\n\t\tget_certificate cached_http %s {\n\t\t\t%s\n\t\t}\n\t}\n\trespond hello\n}\n",
					corporate.URL(), test.option),
			})
			// Whether Caddy may order a certificate, ask alone says.
			orders := func() bool { return strings.Contains(c.logText(), `"msg":"obtaining new certificate"`) }
			if err := c.failsOrOrders(unknownName, test.allows, orders); err == nil {
				t.Error("it got a certificate")
			}
			if asked.Load() != 1 || len(corporate.Requests()) > 0 {
				t.Errorf("ask was asked %d times, the other site's backend %d times", asked.Load(), len(corporate.Requests()))
			}
			if orders() != test.allows {
				t.Errorf("an order: %v", orders())
			}
		})
	}
}

// Caddy has the certificate of the site that it takes for a client without SNI, and yet asks the catch-all's manager.
func TestDefaultSNIOfASiteThatTheCaddyfileNames(t *testing.T) {
	t.Parallel()
	const internal = "internal.example.com"
	for title, permission := range map[string][]string{
		"no permission": nil, "permission": {"on_demand_tls {", "\tpermission cached_http", "}"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			backend := startBackend(t, testbackend.Status(http.StatusNoContent))
			c := startCaddy(t, site{
				url:     backend.URL(),
				options: []string{"on_negative deny"},
				global:  append([]string{"default_sni " + internal}, permission...),
				sites:   "https://" + internal + ":PORT {\n\tbind 127.0.0.1\n\ttls internal\n\trespond hello\n}\n",
			})
			// Caddy makes the certificate of the named site right after it has started.
			eventually(t, startLimit, "the named site's certificate", func() bool {
				_, err := c.handshake(internal, c.trustsLocalAuthority)
				return err == nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), handshakeLimit)
			defer cancel()
			certificate, err := c.handshakeWithin(ctx, "", trustAnyone)
			if err != nil {
				t.Fatal(err)
			}
			if err := certificate.VerifyHostname(internal); err != nil {
				t.Error(err)
			}
			c.refused(unknownName)
			if strings.Contains(c.logText(), `"msg":"obtaining new certificate"`) {
				t.Error("an order on demand")
			}
		})
	}
}
