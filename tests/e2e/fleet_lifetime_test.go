package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// Clients on all nodes all the time: one node renews, the others take what it was sent.
func TestFleetRenewsOnce(t *testing.T) {
	t.Parallel()
	const lifetime = 20 * time.Second
	lifetimes := 3
	if soak {
		lifetimes = 15
	}
	names := fleetNames(10)
	f := startFleet(t, 3, fmt.Sprintf("s-maxage=%d", lifetime/time.Second))
	ended := make(chan struct{})
	results := make([]measured, len(f.nodes))
	var clients sync.WaitGroup
	for i, n := range f.nodes {
		clients.Go(func() {
			for {
				select {
				case <-ended:
					return
				case <-time.After(400 * time.Millisecond):
				}
				took, failed := n.timedEach(names, 1)
				results[i].count += len(took)
				results[i].failed += failed
			}
		})
	}
	time.Sleep(lifetime / 2)
	before := len(f.backend.Requests())
	time.Sleep(time.Duration(lifetimes) * lifetime)
	requests := len(f.backend.Requests()) - before
	close(ended)
	clients.Wait()
	per := float64(requests) / float64(len(names)*lifetimes)
	handshakes, failed := 0, 0
	for _, result := range results {
		handshakes += result.count
		failed += result.failed
	}
	t.Logf("3 nodes, %d names, %d lifetimes of %s, %d handshakes, %d failed: %.2f backend requests per name and lifetime for the whole fleet (target <= 1.2)",
		len(names), lifetimes, lifetime, handshakes, failed, per)
	if per > 1.2 || failed > 0 {
		t.Errorf("%.2f requests, %d failed", per, failed)
	}
}
