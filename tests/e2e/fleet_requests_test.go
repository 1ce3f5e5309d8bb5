package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// What a fleet asks its backend for.

// One node after the other: what the first was sent, the others take from the storage.
func TestFleetAsksOncePerName(t *testing.T) {
	t.Parallel()
	names := fleetNames(300)
	f := startFleet(t, 3, "s-maxage=3600")
	for i, n := range f.nodes {
		if took, failed := n.timedEach(names, 4); failed > 0 {
			t.Errorf("node %d: %d of %d handshakes failed", i+1, failed, len(took))
		}
		f.settled(len(names))
	}
	perName := float64(len(f.backend.Requests())) / float64(len(names))
	t.Logf("3 nodes one after the other, %d names: %.3f backend requests per name (target <= 1.02)", len(names), perName)
	if perName > 1.02 {
		t.Errorf("%.3f requests per name", perName)
	}
	for _, n := range f.nodes {
		n.expectNoACME()
	}
}

// All nodes at the same moment: usually once per fleet, at most once per node.
func TestFleetAsksTogether(t *testing.T) {
	t.Parallel()
	names := fleetNames(300)
	f := startFleet(t, 3, "s-maxage=3600")
	var nodes sync.WaitGroup
	for _, n := range f.nodes {
		nodes.Go(func() {
			if took, failed := n.timedEach(names, 4); failed > 0 {
				t.Errorf("%d of %d handshakes failed", failed, len(took))
			}
		})
	}
	nodes.Wait()
	perName := float64(len(f.backend.Requests())) / float64(len(names))
	most := 0
	for _, name := range names {
		most = max(most, f.backend.Count(name))
	}
	t.Logf("3 nodes together, %d names: %.3f backend requests per name, at most %d (target <= 3), no error", len(names), perName, most)
	if most > len(f.nodes) {
		t.Errorf("%d requests for a name", most)
	}
}

// What each kind of handshake costs the storage.
func TestFleetOperations(t *testing.T) {
	t.Parallel()
	const lifetime = 10 // seconds
	names := fleetNames(50)
	f := startFleet(t, 1, fmt.Sprint("s-maxage=", lifetime))
	n := f.nodes[0]
	begin := time.Now()
	n.handshakes(names...)
	f.settled(len(names))
	fetched := time.Now()
	misses := n.onRecords()
	t.Logf("%d misses: %v (target <= 1 Load + 1 Store each)", len(names), misses)
	if misses["load"] > len(names) || misses["store"] > len(names) || misses["delete"] > 0 {
		t.Error("more operations than that")
	}
	for time.Since(begin) < 3*time.Second { // refreshes come ahead of the lifetime's end, and the machine may be busy
		n.handshakes(names...)
	}
	hits := n.onRecords()
	t.Logf("hits: %v more (target 0)", hits.without(misses))
	if more := hits.without(misses); len(more) > 0 {
		t.Error("hits use the storage")
	}
	requests := len(f.backend.Requests())
	time.Sleep(time.Until(fetched.Add((lifetime + 1) * time.Second)))
	n.handshakes(names...)
	eventually(t, 20*time.Second, "all are refreshed", func() bool { return len(f.backend.Requests()) == requests+len(names) })
	eventually(t, 20*time.Second, "all are written", func() bool { return n.onRecords()["store"] == 2*len(names) })
	refreshes := n.onRecords().without(hits)
	t.Logf("%d refreshes: %v (target <= 1 Load + 1 Store each)", len(names), refreshes)
	if refreshes["load"] > len(names) || refreshes["store"] > len(names) || refreshes["delete"] > 0 {
		t.Error("more operations than that")
	}
}

// operations are counted by kind.
type operations map[string]int

// onRecords are the operations that are not about the journal.
func (n *node) onRecords() operations {
	n.t.Helper()
	counts := operations{}
	for operation, keys := range n.report().Counts {
		for key, count := range keys {
			if !isJournal(key) {
				counts[operation] += count
			}
		}
	}
	return counts
}

func (o operations) without(others operations) operations {
	rest := operations{}
	for operation, count := range o {
		if count != others[operation] {
			rest[operation] = count - others[operation]
		}
	}
	return rest
}
