package e2e

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/tests/origin"
)

const slowName = "slow.example.com"

func startSlow(t *testing.T) (*caddy, *origin.Server) {
	backend := startOrigin(t, origin.After(time.Second, origin.Certificate(authority, origin.P256, "s-maxage=600")))
	return startCaddy(t, site{url: backend.URL()}), backend
}

// 200 clients at once on one cold, slow name: 1 request, 200 successes.
func TestHerdOnColdName(t *testing.T) {
	t.Parallel()
	c, backend := startSlow(t)
	errs := make([]error, 200)
	var clients sync.WaitGroup
	for i := range errs {
		clients.Go(func() {
			version := tls13
			if i%2 == 0 {
				version = tls12
			}
			_, errs[i] = c.handshake(slowName, version)
		})
	}
	clients.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if count := backend.Count(slowName); count != 1 {
		t.Errorf("%d requests", count)
	}
}

// A client that leaves after 200 ms stops neither the fetch nor the clients that wait with it.
func TestFetchOutlivesItsClient(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*caddy, context.Context) error{
		"TCP":  func(c *caddy, ctx context.Context) error { _, err := c.handshakeWithin(ctx, slowName); return err },
		"QUIC": func(c *caddy, ctx context.Context) error { _, err := c.handshakeQUIC(ctx, slowName); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, backend := startSlow(t)
			first := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
				defer cancel()
				first <- leave(c, ctx)
			}()
			eventually(t, 5*time.Second, "the backend is asked", func() bool { return backend.Count(slowName) == 1 })

			var others sync.WaitGroup
			for range 5 {
				others.Go(func() { c.handshakes(slowName) })
			}
			if err := <-first; err == nil {
				t.Error("the first client did not leave")
			}
			others.Wait()
			begin := time.Now()
			c.handshakes(slowName)
			if waited := time.Since(begin); waited > 500*time.Millisecond {
				t.Errorf("the next client waited %s", waited)
			}
			if count := backend.Count(slowName); count != 1 {
				t.Errorf("%d requests", count)
			}
		})
	}
}

// The same with nobody else waiting: the answer is there for the next client.
func TestFetchOutlivesItsOnlyClient(t *testing.T) {
	t.Parallel()
	c, backend := startSlow(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.handshakeWithin(ctx, slowName); err == nil {
		t.Error("the first client did not leave")
	}
	time.Sleep(1300 * time.Millisecond) // until the backend has answered
	begin := time.Now()
	c.handshakes(slowName)
	if waited := time.Since(begin); waited > 500*time.Millisecond {
		t.Errorf("the next client waited %s", waited)
	}
	if count := backend.Count(slowName); count != 1 {
		t.Errorf("%d requests", count)
	}
}
