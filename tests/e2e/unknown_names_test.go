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

const unknownName = "unknown.example.com"

// A 204 name three times: 1 request, and no ACME order ever.
func TestUnknownNameAskedOnce(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Status(http.StatusNoContent))
	c := startCaddy(t, site{url: backend.URL()})
	begin := time.Now()
	for range 3 {
		c.refused(unknownName)
	}
	took := time.Since(begin)
	t.Logf("three refusals took %s", took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("three refusals took %s", took)
	}
	c.refused("other.example.com")
	if count := backend.Count(unknownName); count != 1 {
		t.Errorf("%d requests", count)
	}
	c.expectNoACME()
	// That names are denied because no permission is configured is worth saying, once.
	said := 0
	for _, r := range c.notable("on_negative") {
		if r.Logger != "tls.handshake" {
			said++
		}
	}
	if said != 1 {
		t.Errorf("said %d times which default of on_negative applies", said)
	}
}

// "No" is kept for negative_ttl and then asked again; a new customer is served from then on.
func TestUnknownNameBecomesKnown(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Status(http.StatusNoContent))
	c := startCaddy(t, site{url: backend.URL(), options: []string{"negative_ttl 1s"}})
	c.refused(unknownName)
	backend.Answer(unknownName, testbackend.Certificate(authority, testca.P256, "s-maxage=600"))
	eventually(t, 20*time.Second, "the new certificate is served", func() bool {
		_, err := c.handshake(unknownName)
		return err == nil
	})
	if count := backend.Count(unknownName); count != 2 {
		t.Errorf("%d requests", count)
	}
}

// on_negative: who is asked after the backend has said no.
func TestOnNegative(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options    []string
		permission bool
		asked      bool // the permission endpoint
		order      bool // an ACME order is tried
	}{
		"default without permission": {nil, false, false, false},
		"default with permission":    {nil, true, true, false},
		"deny with permission":       {[]string{"on_negative deny"}, true, false, false},
		"pass with permission":       {[]string{"on_negative pass"}, true, true, false},
		// What the operator asks for; it also shows that expectNoACME would notice.
		"pass without permission": {[]string{"on_negative pass"}, false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			permission := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				response.WriteHeader(http.StatusForbidden)
			}))
			t.Cleanup(permission.Close)
			s := site{options: test.options}
			if test.permission {
				s.global = []string{"on_demand_tls {", "\task " + permission.URL, "}"}
			}
			backend := startBackend(t, testbackend.Status(http.StatusNoContent))
			s.url = backend.URL()
			c := startCaddy(t, s)

			ordered := func() bool { return len(c.acmeOrders()) > 0 }
			if err := c.failsOrOrders(unknownName, test.order, ordered); err == nil {
				t.Error("the handshake succeeded")
			}
			if (asked.Load() > 0) != test.asked {
				t.Errorf("the permission was asked %d times", asked.Load())
			}
			if !test.order {
				c.expectNoACME()
			}
			if count := backend.Count(unknownName); count != 1 {
				t.Errorf("%d requests", count)
			}
		})
	}
}

// failsOrOrders opens a handshake that fails at once, or one for which an order is tried, which goes on: then its client
// leaves.
func (c *caddy) failsOrOrders(name string, orders bool, ordered func() bool) error {
	c.t.Helper()
	ctx, leave := context.WithTimeout(c.t.Context(), startLimit)
	defer leave()
	ended := make(chan error, 1)
	go func() {
		_, err := c.handshakeWithin(ctx, name)
		ended <- err
	}()
	if orders {
		eventually(c.t, startLimit, "an order is tried", ordered)
		leave()
	}
	return <-ended
}

// The permission module answers from the managers' cache: names without a certificate are denied without a loud line,
// without an ACME order and without a second request; with ask, an endpoint decides, once per name.
func TestPermission(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	endpoint := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		asked.Add(1)
		if request.URL.Query().Get("domain") != "allowed.example.com" {
			response.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(endpoint.Close)
	for name, test := range map[string]struct {
		options []string
		asked   int64
		order   bool // an ACME order is tried for allowed.example.com
	}{
		"alone":    {nil, 0, false},
		"with ask": {[]string{" {", "\t\task " + endpoint.URL, "\t}"}, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backend := startBackend(t, testbackend.Status(http.StatusNoContent))
			backend.Answer("a.example.com", testbackend.Certificate(authority, testca.P256, "s-maxage=600"))
			permission := "\tpermission cached_http" + strings.Join(test.options, "\n\t")
			c := startCaddy(t, site{url: backend.URL(), global: []string{"on_demand_tls {", permission, "}"}})
			c.handshakes("a.example.com", "a.example.com")
			begin := time.Now()
			for range 3 {
				c.refused(unknownName)
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("three refusals took %s", took)
			}
			c.expectNoACME()
			for _, line := range c.notable(unknownName) {
				t.Errorf("a denied name is loud in the log: %s", line.text)
			}
			_ = c.failsOrOrders("allowed.example.com", test.order, func() bool { return len(c.acmeOrders()) > 0 })
			if !test.order {
				c.expectNoACME()
			}
			for _, name := range []string{"a.example.com", unknownName, "allowed.example.com"} {
				if count := backend.Count(name); count != 1 {
					t.Errorf("%d requests for %s", count, name)
				}
			}
			if test.order && asked.Load() != test.asked {
				t.Errorf("ask was asked %d times", asked.Load())
			}
		})
	}
}
