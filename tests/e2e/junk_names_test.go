package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// A backend that is well, but answers names that it doesn't know as if it were not. However many of them a scanner makes
// up, known names are served, also past their lifetime, and new customers get in.
func TestJunkNamesTakeNoGoodNameDown(t *testing.T) {
	t.Parallel()
	duration := 8 * time.Second
	if soak {
		duration = time.Minute
	}
	for title, junk := range map[string]testbackend.Answer{
		"status 500": testbackend.Status(http.StatusInternalServerError),
		"status 429": testbackend.Status(http.StatusTooManyRequests),
		"too late":   testbackend.Hang(),
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			backend := startBackend(t, junk)
			good := testbackend.Certificate(authority, testca.P256, "")
			known, customers := make([]string, 20), make([]string, 10)
			for i := range known {
				known[i] = fmt.Sprintf("known-%d.example.com", i)
				backend.Answer(known[i], good)
			}
			for i := range customers {
				customers[i] = fmt.Sprintf("customer-%d.example.com", i)
				backend.Answer(customers[i], good)
			}
			c := startCaddy(t, site{url: backend.URL(), options: []string{"ttl 2s", "stale_if_error off", "timeout 3s"}})
			c.handshakes(known...)

			end := time.Now().Add(duration)
			var handshakes, failed, made atomic.Int64
			var clients sync.WaitGroup
			clients.Go(func() { // 20 junk names a second
				for time.Now().Before(end) {
					clients.Go(func() {
						made.Add(1)
						_, _ = c.handshake(fmt.Sprintf("junk-%d.example.com", rand.Int64())) //nolint:gosec // nobody guesses
					})
					time.Sleep(50 * time.Millisecond)
				}
			})
			for first := range 4 {
				clients.Go(func() {
					for i := first; time.Now().Before(end); i++ {
						handshakes.Add(1)
						if _, err := c.handshake(known[i%len(known)]); err != nil && failed.Add(1) == 1 {
							t.Errorf("the first failure: %v", err)
						}
						time.Sleep(10 * time.Millisecond)
					}
				})
			}
			served := 0
			for _, name := range customers {
				time.Sleep(duration / time.Duration(len(customers)+1))
				if _, err := c.handshake(name); err == nil {
					served++
				}
			}
			clients.Wait()
			t.Logf("%s: %d of %d handshakes of known names failed beside %d junk names, %d of %d new customers served",
				title, failed.Load(), handshakes.Load(), made.Load(), served, len(customers))
			if failed.Load() > 0 || served < len(customers) {
				t.Errorf("%d failed, %d served", failed.Load(), served)
			}
		})
	}
}
