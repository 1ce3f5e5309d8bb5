package e2e

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

const slowName = "slow.example.com"

func startSlow(t *testing.T) (*caddy, *testbackend.Server) {
	backend := startBackend(t, testbackend.After(time.Second, testbackend.Certificate(authority, testca.P256, "s-maxage=600")))
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
	for transport, open := range transports {
		for company, others := range map[string]int{"alone": 0, "with others": 5} {
			t.Run(transport+" "+company, func(t *testing.T) {
				t.Parallel()
				hasLeft, certificate := make(chan struct{}), testbackend.Certificate(authority, testca.P256, "s-maxage=600")
				backend := startBackend(t, func(response http.ResponseWriter, request *http.Request, name string) {
					<-hasLeft
					certificate(response, request, name)
				})
				answer := sync.OnceFunc(func() { close(hasLeft) })
				defer answer()
				c := startCaddy(t, site{url: backend.URL()})
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				first := make(chan error, 1)
				go func() { first <- open(c, ctx) }()
				eventually(t, 10*time.Second, "the backend is asked", func() bool { return backend.Count(slowName) == 1 })

				var clients sync.WaitGroup
				for range others {
					clients.Go(func() { c.handshakes(slowName) })
				}
				time.Sleep(200 * time.Millisecond)
				leave()
				if err := <-first; err == nil {
					t.Error("the first client did not leave")
				}
				answer()
				clients.Wait()
				c.handshakes(slowName)
				if count := backend.Count(slowName); count != 1 {
					t.Errorf("%d requests", count)
				}
			})
		}
	}
}

var transports = map[string]func(*caddy, context.Context) error{
	"TCP":  func(c *caddy, ctx context.Context) error { _, err := c.handshakeWithin(ctx, slowName); return err },
	"QUIC": func(c *caddy, ctx context.Context) error { _, err := c.handshakeQUIC(ctx, slowName); return err },
}
