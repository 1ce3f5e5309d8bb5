package e2e

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// A cold start: the customers of all names come at once, and the backend takes a second for each. Nobody is turned
// away by default; a limit chosen too low says so, in the log too.
func TestStormOfColdNames(t *testing.T) {
	const count = 3_000
	needFiles(t, count+1000)
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("shop-%d.example.com", i)
	}
	// They have ten seconds, of which a busy machine may take four; a limit that is too low turns some away each time.
	for tries := 3; ; tries-- {
		backend := startBackend(t, testbackend.After(time.Second, testbackend.Certificate(authority, testca.P256, "s-maxage=600")))
		c := startCaddy(t, site{url: backend.URL()})
		before := c.status("VmRSS")
		failed, most := comeAtOnce(t, c, names)
		t.Logf("%d cold names at once, a backend that takes 1 s: %d failed, all done after %s; %d threads, RSS %d KiB more",
			count, failed, most.slowest.Round(10*time.Millisecond), most.threads, c.status("VmRSS")-before)
		c.stop()
		if failed == 0 && len(backend.Requests()) == count {
			return
		}
		if tries == 1 {
			t.Fatalf("%d failed, %d requests", failed, len(backend.Requests()))
		}
	}
}

type coldStart struct {
	slowest time.Duration
	threads int
}

// comeAtOnce opens a handshake for each name at the same time.
func comeAtOnce(t *testing.T, c *caddy, names []string) (failures int64, most coldStart) {
	t.Helper()
	var failed, slowest atomic.Int64
	var clients sync.WaitGroup
	for _, name := range names {
		clients.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			asked := time.Now()
			if _, err := c.handshakeWithin(ctx, name); err != nil && failed.Add(1) == 1 {
				t.Log(err)
			}
			raise(&slowest, int64(time.Since(asked)))
		})
	}
	ended := make(chan struct{})
	go func() {
		clients.Wait()
		close(ended)
	}()
	for {
		select {
		case <-ended:
			most.slowest = time.Duration(slowest.Load())
			return failed.Load(), most
		case <-time.After(100 * time.Millisecond):
			most.threads = max(most.threads, c.status("Threads"))
		}
	}
}
