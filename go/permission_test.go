package cachedhttp

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store/storetest"
	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

func newPermission(t *testing.T, options config.Permission) *Permission {
	t.Helper()
	permission := &Permission{Permission: options}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := permission.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = permission.Cleanup() })
	return permission
}

func allowed(t *testing.T, permission *Permission, name string) string {
	t.Helper()
	err := permission.CertificateAllowed(context.Background(), name)
	switch {
	case err == nil:
		return "yes"
	case errors.Is(err, caddytls.ErrPermissionDenied):
		return "no"
	}
	return err.Error()
}

func TestPermissionAnswersFromTheManagersCache(t *testing.T) {
	permission := newPermission(t, config.Permission{})
	if answer := allowed(t, permission, "a.example"); !strings.Contains(answer, "needs a get_certificate cached_http") {
		t.Error(answer)
	}
	backend := testbackend.New(t)
	backend.Keep("a.example", backend.Bundle(testca.P256, "a.example"), "s-maxage=600")
	backend.Answer("broken.example", func(response http.ResponseWriter, _ *http.Request, _ string) {
		response.WriteHeader(http.StatusInternalServerError)
	})
	getter := openGetter(t, backend, "")
	// One is known to the manager, the others only to the permission.
	if _, err := getter.GetCertificate(context.Background(), storetest.Hello("a.example")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for name, want := range map[string]string{
			"a.example": "yes", "unknown.example": "no", "127.0.0.1": "no", "single": "no",
			"broken.example": `cached_http: "broken.example": backend ` + backend.Address() + `: answered 500 Internal Server Error`,
		} {
			answer := strings.Replace(allowed(t, permission, name), "not asked again yet; the last answer was: ", "", 1)
			if answer != want {
				t.Errorf("%s: %s", name, answer)
			}
		}
	}
	for name, want := range map[string]int{"a.example": 1, "unknown.example": 1, "broken.example": 1, "127.0.0.1": 0} {
		if count := backend.Count(name); count != want {
			t.Errorf("%d requests for %s", count, name)
		}
	}
}

func TestAskDecidesWhatTheManagersDoNotKnow(t *testing.T) {
	var asked sync.Map
	status := atomic.Int64{}
	endpoint := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		name := request.URL.Query().Get("domain")
		count, _ := asked.LoadOrStore(name, new(atomic.Int64))
		count.(*atomic.Int64).Add(1)
		switch {
		case request.URL.Query().Get("token") != "s3cret":
			response.WriteHeader(http.StatusUnauthorized)
		case name == "yes.example":
		case name == "slow.example":
			time.Sleep(100 * time.Millisecond)
		case name == "no.example":
			response.WriteHeader(http.StatusNotFound)
		default:
			http.Redirect(response, request, "http://127.0.0.1:1/", int(status.Load()))
		}
	}))
	defer endpoint.Close()
	status.Store(http.StatusFound)
	permission := newPermission(t, config.Permission{
		Ask: endpoint.URL + "/ask?token=s3cret", TTL: caddy.Duration(time.Hour), NegativeTTL: caddy.Duration(50 * time.Millisecond),
	})
	opened := storetest.Use(t)
	getter := provisioned(t, `{"url": "http://backend.example", "on_negative": "pass"}`)
	defer getter.Cleanup()
	fake := (*opened)[0]
	fake.Answer("held.example", native.Answer{Status: native.StatusHit, Entry: 1})
	for _, name := range []string{"yes.example", "no.example", "slow.example", "redirected.example", "other.example"} {
		fake.Answer(name, native.Answer{Status: native.StatusNegative})
	}

	host := strings.TrimPrefix(endpoint.URL, "http://")
	for range 3 {
		for name, want := range map[string]string{
			"held.example": "yes", "yes.example": "yes", "no.example": "no",
			"redirected.example": `cached_http: "redirected.example": ask ` + host + `: answered 302 Found; 2xx is yes, 4xx is no`,
		} {
			if answer := allowed(t, permission, name); answer != want {
				t.Errorf("%s: %s", name, answer)
			}
		}
	}
	var herd sync.WaitGroup
	for range 50 {
		herd.Go(func() {
			if answer := allowed(t, permission, "slow.example"); answer != "yes" {
				t.Error(answer)
			}
		})
	}
	herd.Wait()
	time.Sleep(60 * time.Millisecond)
	if answer := allowed(t, permission, "no.example"); answer != "no" {
		t.Error(answer)
	}
	for name, want := range map[string]int64{"yes.example": 1, "slow.example": 1, "no.example": 2, "redirected.example": 1} {
		if count, _ := asked.Load(name); count.(*atomic.Int64).Load() != want {
			t.Errorf("%s was asked for %d times, not %d", name, count.(*atomic.Int64).Load(), want)
		}
	}
	if _, known := asked.Load("held.example"); known {
		t.Error("ask was asked about a name whose certificate is known")
	}
	endpoint.Close()
	if answer := allowed(t, permission, "other.example"); !strings.Contains(answer, "refused") || strings.Contains(answer, "s3cret") {
		t.Error(answer)
	}
}
