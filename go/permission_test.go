package cachedhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
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
	backend.Answer("broken.example", func(response http.ResponseWriter, _ *http.Request, _ string) { response.WriteHeader(500) })
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

// One rule, whatever was asked before: a manager that has the certificate decides, then one that is unsure, then one that
// denies; only then ask does.
func TestThePermissionDoesNotDependOnWhichCacheIsWarm(t *testing.T) {
	var asked atomic.Int64
	endpoint := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer endpoint.Close()
	const name = "a.example"
	has := func(backend *testbackend.Backend) {
		backend.Keep(name, backend.Bundle(testca.P256, name), "s-maxage=600")
	}
	fails := func(backend *testbackend.Backend) { backend.Answer(name, testbackend.Status(http.StatusBadGateway)) }
	hasNone := func(*testbackend.Backend) {}
	for title, test := range map[string]struct {
		backends []func(*testbackend.Backend)
		deny     int // which of the managers denies
		want     string
		asked    int64
	}{
		"one has it, one has none":      {[]func(*testbackend.Backend){has, hasNone}, -1, "yes", 0},
		"one has it, one denies":        {[]func(*testbackend.Backend){has, hasNone}, 1, "yes", 0},
		"one has it, one fails":         {[]func(*testbackend.Backend){has, fails}, -1, "yes", 0},
		"one has none, one fails":       {[]func(*testbackend.Backend){hasNone, fails}, -1, "502 Bad Gateway", 0},
		"one denies, one fails":         {[]func(*testbackend.Backend){hasNone, fails}, 0, "502 Bad Gateway", 0},
		"none has it":                   {[]func(*testbackend.Backend){hasNone, hasNone}, -1, "yes", 1},
		"none has it, one denies":       {[]func(*testbackend.Backend){hasNone, hasNone}, 1, "no", 0},
		"the only one fails":            {[]func(*testbackend.Backend){fails}, -1, "502 Bad Gateway", 0},
		"the only one denies":           {[]func(*testbackend.Backend){hasNone}, 0, "no", 0},
		"no manager, so that ask knows": {nil, -1, "yes", 1},
	} {
		for warm := range len(test.backends) + 1 { // none is warm at last
			t.Run(fmt.Sprintf("%s, %d", title, warm), func(t *testing.T) {
				asked.Store(0)
				permission := newPermission(t, config.Permission{Ask: fmt.Sprintf("%s?%s", endpoint.URL, url.QueryEscape(t.Name()))})
				for number, answer := range test.backends {
					backend := testbackend.New(t)
					answer(backend)
					onNegative := config.OnNegativePass
					if number == test.deny {
						onNegative = config.OnNegativeDeny
					}
					getter := openGetter(t, backend, fmt.Sprintf(`, "on_negative": %q`, onNegative))
					if number == warm {
						_, _ = getter.GetCertificate(context.Background(), storetest.Hello(name))
					}
				}
				if answer := allowed(t, permission, name); answer != test.want && !(test.want != "yes" && test.want != "no" && strings.Contains(answer, test.want)) {
					t.Error(answer)
				}
				if asked.Load() != test.asked {
					t.Errorf("ask was asked %d times", asked.Load())
				}
			})
		}
	}
}

// With default_sni, or for a client that names nothing, certmagic asks about a name that is not in the hello.
func TestANameThatTheClientDidNotSendIsNoReasonToOrderWhatABackendHas(t *testing.T) {
	permission := newPermission(t, config.Permission{})
	backend := testbackend.New(t)
	backend.Keep("a.example", backend.Bundle(testca.P256, "a.example"), "s-maxage=600")
	openGetter(t, backend, "")
	for sent, want := range map[string]string{"a.example": "yes", "A.Example": "yes", "": "no", "b.example": "no"} {
		ctx := context.WithValue(context.Background(), certmagic.ClientHelloInfoCtxKey, storetest.Hello(sent))
		answer := "yes"
		if err := permission.CertificateAllowed(ctx, "a.example"); errors.Is(err, caddytls.ErrPermissionDenied) {
			answer = "no"
		} else if err != nil {
			answer = err.Error()
		}
		if answer != want {
			t.Errorf("%q: %s", sent, answer)
		}
	}
}

func TestHangingBackendsAreAskedAtOnce(t *testing.T) {
	permission := newPermission(t, config.Permission{})
	const timeout = 300 * time.Millisecond
	for range 3 {
		backend := testbackend.New(t)
		backend.AnswerOthers(testbackend.Hang())
		openGetter(t, backend, `, "timeout": "300ms"`)
	}
	begin := time.Now()
	answer := allowed(t, permission, "a.example")
	if took := time.Since(begin); took > 2*timeout || answer == "yes" || answer == "no" {
		t.Errorf("%s after %v", answer, took)
	}
}

// The permission's question is part of a handshake, of which one was counted and one request was made, even for a 204
// that must not be stored.
func TestAQuestionOfThePermissionIsNoHandshake(t *testing.T) {
	permission := newPermission(t, config.Permission{})
	backend := testbackend.New(t)
	backend.AnswerOthers(func(response http.ResponseWriter, _ *http.Request, _ string) {
		response.Header().Set("Cache-Control", "no-store")
		response.WriteHeader(http.StatusNoContent)
	})
	getter := openGetter(t, backend, `, "on_negative": "pass"`)
	const handshakes = 3
	for range handshakes {
		if _, err := getter.GetCertificate(context.Background(), storetest.Hello("a.example")); err != nil {
			t.Fatal(err)
		}
		if answer := allowed(t, permission, "a.example"); answer != "no" {
			t.Error(answer)
		}
	}
	counters, err := getter.lease.Counters()
	if lookups := counters.Hits + counters.Misses + counters.NegativeHits; err != nil || lookups != handshakes || backend.Count("a.example") != handshakes {
		t.Errorf("%d lookups, %d requests, %v", lookups, backend.Count("a.example"), err)
	}
}

func TestAConfigurationThatIsBeingLoadedIsNotAsked(t *testing.T) {
	permission := newPermission(t, config.Permission{})
	opened := storetest.Use(t)
	options := new(config.Getter)
	options.URL = "http://backend.example"
	if err := options.Prepare(); err != nil {
		t.Fatal(err)
	}
	lease, err := store.Open(options, storeHost{&CertGetter{logger: zap.NewNop()}})
	if err != nil {
		t.Fatal(err)
	}
	(*opened)[0].Answer("a.example", native.Answer{Status: native.StatusHit, Entry: 1})
	if answer := allowed(t, permission, "a.example"); !strings.Contains(answer, "needs a get_certificate cached_http") {
		t.Error(answer)
	}
	lease.Start()
	if answer := allowed(t, permission, "a.example"); answer != "yes" {
		t.Error(answer)
	}
	if err := lease.Release(); err != nil {
		t.Error(err)
	}
}
