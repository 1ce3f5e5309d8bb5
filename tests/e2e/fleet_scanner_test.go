package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
)

// Made-up names, each asked for once: they add nothing to the storage, and cost it at most a read each.
func TestFleetScanner(t *testing.T) {
	t.Parallel()
	count := 20_000
	if soak {
		count = 100_000
	}
	f := startFleet(t, 1, "s-maxage=3600")
	n := f.nodes[0]
	known := knownNames(f.backend, 10)
	n.handshakes(known...)
	f.settled(len(known))
	f.backend.AnswerOthers(testbackend.Status(http.StatusNoContent))
	before, begin := n.onRecords(), time.Now()
	n.scan(coldNames("made-up", count))
	time.Sleep(2 * readInterval) // what is to be written comes by then
	operations := n.onRecords().without(before)
	journal := 0
	for key, count := range n.report().Counts["store"] {
		if isJournal(key) {
			journal += count
		}
	}
	t.Logf("%d scanned names in %s: %d keys added (target 0), %v operations on records, %d writes of the journal",
		count, time.Since(begin).Round(time.Second), len(f.sealed())-len(known), operations, journal)
	if len(f.sealed()) != len(known) || operations["store"] > 0 || operations["delete"] > 0 || journal > 0 {
		t.Error("a scanner writes to the storage")
	}
	if operations["load"] > count {
		t.Errorf("%d reads for %d names", operations["load"], count)
	}
}

// scan opens a handshake for each name, which is to fail.
func (n *node) scan(names []string) {
	queue := make(chan string)
	done := make(chan struct{})
	const clients = 8
	for range clients {
		go func() {
			for name := range queue {
				if _, err := n.handshake(name); err == nil {
					n.t.Errorf("%s is served", name)
				}
			}
			done <- struct{}{}
		}()
	}
	for _, name := range names {
		queue <- name
	}
	close(queue)
	for range clients {
		<-done
	}
}
