package cachedhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

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
				answer := allowed(t, permission, name)
				if strings.HasPrefix(answer, "cached_http: ") && strings.HasSuffix(answer, "answered "+test.want) {
					answer = test.want // without the backend's port
				}
				if answer != test.want {
					t.Error(answer)
				}
				if asked.Load() != test.asked {
					t.Errorf("ask was asked %d times", asked.Load())
				}
			})
		}
	}
}

// Two managers may share a cache, and differ in what its "no" means.
func TestADenyOfEitherManagerThatShareACacheCounts(t *testing.T) {
	backend := testbackend.New(t)
	permission := newPermission(t, config.Permission{Ask: backend.URL()})
	for _, onNegative := range []string{config.OnNegativeDeny, config.OnNegativePass} {
		openGetter(t, backend, fmt.Sprintf(`, "on_negative": %q`, onNegative))
	}
	if answer := allowed(t, permission, "a.example"); answer != "no" {
		t.Error(answer)
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
	const number = 3
	asked, release := make(chan struct{}, number), make(chan struct{})
	for range number {
		backend := testbackend.New(t)
		backend.AnswerOthers(func(response http.ResponseWriter, _ *http.Request, _ string) {
			asked <- struct{}{}
			<-release
			response.WriteHeader(http.StatusBadGateway)
		})
		openGetter(t, backend, `, "timeout": "1m"`)
	}
	answered := make(chan string, 1)
	go func() { answered <- allowed(t, permission, "a.example") }()
	for range number { // while none has answered
		storetest.Within(t, asked, "question")
	}
	close(release)
	if answer := storetest.Within(t, answered, "answer"); answer == "yes" || answer == "no" {
		t.Error(answer)
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
	// Nor is a certificate that is known, or one that nobody but the permission has asked for.
	backend.Keep("held.example", backend.Bundle(testca.P256, "held.example"), "s-maxage=600")
	for range 2 {
		if answer := allowed(t, permission, "held.example"); answer != "yes" {
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
	getter := &CertGetter{logger: zap.NewNop()}
	lease, err := store.Open(options, storeHost{getter})
	if err != nil {
		t.Fatal(err)
	}
	getter.lease = lease
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
