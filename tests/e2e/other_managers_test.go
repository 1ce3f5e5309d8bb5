package e2e

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// certmagic asks the next manager after one that has failed, and orders a certificate if that one has none: a deny holds
// only if nobody comes after it, or the permission knows of it.
func TestAManagerBehindADenyIsRejected(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Status(http.StatusNoContent))
	next := "get_certificate http " + backend.URL()
	onDemand := func(permission string) []string { return []string{"on_demand_tls {", "\t" + permission, "}"} }
	for title, test := range map[string]struct {
		s        site
		rejected bool
	}{
		"deny":                       {site{options: []string{"on_negative deny"}, next: []string{next}}, true},
		"deny by default":            {site{next: []string{next}}, true},
		"deny with ask":              {site{options: []string{"on_negative deny"}, next: []string{next}, global: onDemand("ask http://127.0.0.1:1/")}, true},
		"pass":                       {site{options: []string{"on_negative pass"}, next: []string{next}}, false},
		"pass by default":            {site{next: []string{next}, global: onDemand("ask http://127.0.0.1:1/")}, false},
		"deny with our permission":   {site{options: []string{"on_negative deny"}, next: []string{next}, global: onDemand("permission cached_http")}, false},
		"deny behind another, ours":  {site{next: []string{next, "get_certificate cached_http " + backend.URL()}}, false},
		"deny, then one that passes": {site{next: []string{"get_certificate cached_http " + backend.URL() + " {", "\ton_negative pass", "}"}}, true},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			c := prepareCaddy(t)
			test.s.url = backend.URL()
			c.write(test.s)
			output, err := c.run("validate", "--config", c.caddyfilePath())
			if rejected := err != nil; rejected != test.rejected || rejected && !strings.Contains(output, "put cached_http last") {
				t.Errorf("%v: %s", err, lastLines(output, 1))
			}
		})
	}
}

// A manager that comes next may serve what it has while our backend fails. What it hasn't is nobody's to order, nor to
// ask about: our permission is unsure of it.
func TestAnOutageIsNoReasonToOrder(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	endpoint := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) })) // yes to all
	t.Cleanup(endpoint.Close)
	failing := startBackend(t, testbackend.Status(http.StatusBadGateway))
	second := startBackend(t, testbackend.Status(http.StatusNoContent))
	second.Answer("second.example.com", testbackend.Certificate(authority, testca.P256, "s-maxage=600"))
	for _, getter := range []string{"http", "cached_http"} {
		t.Run(getter+" comes next", func(t *testing.T) {
			t.Parallel()
			before := asked.Load()
			c := startCaddy(t, site{
				url: failing.URL(), next: []string{"get_certificate " + getter + " " + second.URL()},
				global: []string{"on_demand_tls {", "\tpermission cached_http {", "\t\task " + endpoint.URL, "\t}", "}"},
			})
			c.handshakes("second.example.com")
			c.refused("a.example.com")
			c.refused("a.example.com")
			c.expectNoACME()
			if count := asked.Load() - before; count > 0 {
				t.Errorf("ask was asked %d times", count)
			}
		})
	}
}

// The same names with a manager that denies: neither ask nor a CA hears of them.
func TestADenyHoldsBeforeAsk(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	endpoint := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(endpoint.Close)
	backend := startBackend(t, testbackend.Status(http.StatusNoContent))
	c := startCaddy(t, site{
		url: backend.URL(), options: []string{"on_negative deny"}, next: []string{"get_certificate http " + backend.URL()},
		global: []string{"on_demand_tls {", "\tpermission cached_http {", "\t\task " + endpoint.URL, "\t}", "}"},
	})
	c.refused(unknownName)
	c.expectNoACME()
	if asked.Load() > 0 {
		t.Error("ask was asked")
	}
}

// With default_sni, certmagic asks the permission about a name that the client did not send.
func TestAClientWithoutSNIOrdersNothing(t *testing.T) {
	t.Parallel()
	const name = "shop.example.com"
	backend := startBackend(t, testbackend.Status(http.StatusNoContent))
	backend.Answer(name, testbackend.Certificate(authority, testca.P256, "s-maxage=600"))
	c := startCaddy(t, site{
		url: backend.URL(), global: []string{"default_sni " + name, "on_demand_tls {", "\tpermission cached_http", "}"},
	})
	nameless := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		_, err := c.handshakeWithin(ctx, "", trustAnyone)
		if err == nil || ctx.Err() != nil {
			t.Errorf("%v, %v", err, ctx.Err())
		}
	}
	nameless() // while the name is unknown
	c.handshakes(name)
	nameless()
	c.expectNoACME()
	c.handshakes(name)
	if count := backend.Count(name); count != 1 {
		t.Errorf("%d requests", count)
	}
}
