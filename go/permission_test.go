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
	begin := time.Now()
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
	for name, want := range map[string]int{"a.example": 1, "unknown.example": 1, "127.0.0.1": 0} {
		if count := backend.Count(name); count != want {
			t.Errorf("%d requests for %s", count, name)
		}
	}
	if count := backend.Count("broken.example"); count < 1 || count > 1+retries(begin) {
		t.Errorf("%d requests for a name that fails", count)
	}
}

// retries is how often what fails may have been tried again since then: not within 0.8 s.
func retries(begin time.Time) int { return int(time.Since(begin) / (800 * time.Millisecond)) }

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
		case name == "no.example" || name == "expired.example":
			response.WriteHeader(http.StatusNotFound)
		default:
			http.Redirect(response, request, "http://127.0.0.1:1/", int(status.Load()))
		}
	}))
	defer endpoint.Close()
	status.Store(http.StatusFound)
	options := config.Permission{Ask: endpoint.URL + "/ask?token=s3cret", TTL: caddy.Duration(time.Hour), NegativeTTL: caddy.Duration(time.Hour)}
	permission := newPermission(t, options)
	options.NegativeTTL = caddy.Duration(time.Millisecond)
	forgetful := newPermission(t, options)
	opened := storetest.Use(t)
	getter := provisioned(t, `{"url": "http://backend.example", "on_negative": "pass"}`)
	defer getter.Cleanup()
	fake := (*opened)[0]
	fake.Answer("held.example", native.Answer{Status: native.StatusHit, Entry: 1})
	for _, name := range []string{"yes.example", "no.example", "expired.example", "slow.example", "redirected.example", "other.example"} {
		fake.Answer(name, native.Answer{Status: native.StatusNegative})
	}

	host := strings.TrimPrefix(endpoint.URL, "http://")
	begin := time.Now()
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
	mostRetries := int64(retries(begin))
	var herd sync.WaitGroup
	for range 50 {
		herd.Go(func() {
			if answer := allowed(t, permission, "slow.example"); answer != "yes" {
				t.Error(answer)
			}
		})
	}
	herd.Wait()
	for range 2 {
		if answer := allowed(t, forgetful, "expired.example"); answer != "no" {
			t.Error(answer)
		}
		time.Sleep(5 * time.Millisecond)
	}
	countOf := func(name string) int64 {
		count, _ := asked.Load(name)
		return count.(*atomic.Int64).Load()
	}
	for name, want := range map[string]int64{"yes.example": 1, "slow.example": 1, "no.example": 1, "expired.example": 2} {
		if count := countOf(name); count != want {
			t.Errorf("%s was asked for %d times, not %d", name, count, want)
		}
	}
	if count := countOf("redirected.example"); count < 1 || count > 1+mostRetries {
		t.Errorf("what is no answer was asked for %d times", count)
	}
	if _, known := asked.Load("held.example"); known {
		t.Error("ask was asked about a name whose certificate is known")
	}
	endpoint.Close()
	if answer := allowed(t, permission, "other.example"); !strings.Contains(answer, "refused") || strings.Contains(answer, "s3cret") {
		t.Error(answer)
	}
}
