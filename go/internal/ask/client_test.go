package ask

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

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
	const timeout = 300 * time.Millisecond
	client := open(t, endpoint.URL, timeout)
	var waiting sync.WaitGroup
	var atOnce, late atomic.Int64
	for n := range 2 * maxPending {
		waiting.Go(func() {
			begin := time.Now()
			if answer := allowed(client, fmt.Sprintf("n%d.example", n)); answer == "yes" || answer == "no" {
				t.Error(answer)
			}
			if took := time.Since(begin); took < timeout/2 {
				atOnce.Add(1)
			} else if took > timeout+time.Second {
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
	old, err := Open(options(endpoint.URL, time.Second))
	if err != nil {
		t.Fatal(err)
	}
	_ = allowed(old, "a.example")
	renewed := open(t, endpoint.URL, time.Second)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if answer := allowed(renewed, "a.example"); answer != "yes" || asked.Load() != 1 {
		t.Errorf("%s after %d requests", answer, asked.Load())
	}
}

func TestABoundedNumberOfNamesIsRemembered(t *testing.T) {
	client := &Client{answers: make(map[string]*answer)}
	for n := range maxAnswers + 1000 {
		answer, isNew := client.answer(fmt.Sprintf("n%d.example", n))
		if !isNew {
			t.Fatal("a new name is known")
		}
		client.finish(answer, nil, time.Hour)
	}
	if count := len(client.answers); count > maxAnswers {
		t.Errorf("%d names", count)
	}
}
