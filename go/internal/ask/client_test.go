package ask

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// patience is for an endpoint that answers, on a machine that may be busy.
const patience = 10 * time.Second

func options(endpoint string, timeout time.Duration) *config.Permission {
	return &config.Permission{
		Ask: endpoint, Timeout: caddy.Duration(timeout),
		TTL: caddy.Duration(time.Hour), NegativeTTL: caddy.Duration(time.Minute),
	}
}

func open(t *testing.T, endpoint string, timeout time.Duration) *Client {
	t.Helper()
	client, err := Open(options(endpoint, timeout))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func allowed(client *Client, name string) string {
	switch err := client.Allowed(name); {
	case err == nil:
		return "yes"
	case errors.Is(err, ErrDenied):
		return "no"
	default:
		return err.Error()
	}
}

func TestAnEndpointThatHangsIsNotWaitedForLongerThanItsTime(t *testing.T) {
	release := make(chan struct{})
	endpoint := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer endpoint.Close()
	defer close(release)
	const timeout = 5 * time.Second
	client := open(t, endpoint.URL, timeout)
	var waiting sync.WaitGroup
	var atOnce, late atomic.Int64
	for n := range 2 * maxPending {
		waiting.Go(func() {
			begin := time.Now()
			if answer := allowed(client, fmt.Sprintf("n%d.example", n)); answer == "yes" || answer == "no" {
				t.Error(answer)
			}
			// Who waits does so for all of its time, whatever else the machine does.
			if took := time.Since(begin); took < timeout {
				atOnce.Add(1)
			} else if took > 3*timeout {
				late.Add(1)
			}
		})
	}
	waiting.Wait()
	if atOnce.Load() != maxPending || late.Load() > 0 {
		t.Errorf("%d names were turned away at once, %d waited too long", atOnce.Load(), late.Load())
	}
}

func TestAnAnswerIsRememberedOverAReload(t *testing.T) {
	var asked atomic.Int64
	endpoint := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer endpoint.Close()
	old, err := Open(options(endpoint.URL, patience))
	if err != nil {
		t.Fatal(err)
	}
	_ = allowed(old, "a.example")
	renewed := open(t, endpoint.URL, patience)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if answer := allowed(renewed, "a.example"); answer != "yes" || asked.Load() != 1 {
		t.Errorf("%s after %d requests", answer, asked.Load())
	}
}

func TestABoundedNumberOfNamesIsRemembered(t *testing.T) {
	client := newClient(clientKey{}, nil, 1, maxPending)
	for n := range maxAnswers + 1000 {
		answer, isNew := client.answer(fmt.Sprintf("n%d.example", n))
		if !isNew {
			t.Fatal("a new name is known")
		}
		client.finish(answer, nil, time.Hour)
	}
	if count := len(client.answers); count > maxAnswers || len(client.pendingOf) > 0 {
		t.Errorf("%d names, %d domains", count, len(client.pendingOf))
	}
}

type panicking struct{}

func (panicking) ask(context.Context, string) error { panic("a bug") }
func (panicking) close()                            {}

func TestAPanicIsNoAnswer(t *testing.T) {
	client := newClient(clientKey{timeout: time.Second}, panicking{}, 1, maxPending)
	for _, name := range []string{"a.example", "a.example", "b.example"} {
		if answer := allowed(client, name); !strings.HasSuffix(answer, "a bug") {
			t.Errorf("%s: %s", name, answer)
		}
	}
	if len(client.slots) > 0 || client.pending > 0 {
		t.Errorf("%d slots are taken, %d names pending", len(client.slots), client.pending)
	}
}

// The endpoint may want a token and a certificate, and have one that only its own authority vouches for.
func TestTheEndpointKnowsWhoAsks(t *testing.T) {
	authority := testca.NewAuthority()
	var header atomic.Value
	endpoint := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		header.Store(request.Header.Get("X-Token") + " for " + request.Host)
	}))
	endpoint.TLS = &tls.Config{
		Certificates: []tls.Certificate{authority.Issue(testca.Leaf{Names: []string{"127.0.0.1"}}).TLS()},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: authority.Roots(),
	}
	endpoint.StartTLS()
	defer endpoint.Close()
	folder := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := authority.Issue(testca.Leaf{Names: []string{"caddy.internal"}})
	full := config.Client{
		Header:            map[string][]string{"x-token": {"s3cret"}, "Host": {"ask.internal"}},
		TrustedCA:         []string{file("ca.pem", authority.RootPEM())},
		ClientCertificate: &config.ClientCertificate{Certificate: file("own.pem", own.CertificatesPEM()), Key: file("own.key", testca.PKCS8(own.Key))},
	}
	for title, test := range map[string]struct {
		client config.Client
		want   string
	}{
		"all":            {full, "yes"},
		"no authority":   {config.Client{ClientCertificate: full.ClientCertificate}, "unknown authority"},
		"no certificate": {config.Client{TrustedCA: full.TrustedCA}, "certificate required"},
	} {
		options := options(endpoint.URL, patience)
		options.Client = test.client
		if err := options.Prepare(); err != nil {
			t.Fatal(err)
		}
		client, err := Open(options)
		if err != nil {
			t.Fatal(err)
		}
		if answer := allowed(client, "a.example"); !strings.Contains(answer, test.want) {
			t.Errorf("%s: %s", title, answer)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
	if header.Load() != "s3cret for ask.internal" {
		t.Error(header.Load())
	}
	bad := options(endpoint.URL, patience)
	bad.TrustedCA = []string{file("bad.pem", []byte("hello"))}
	if _, err := Open(bad); err == nil || !strings.Contains(err.Error(), "trusted_ca") {
		t.Error(err)
	}
}
