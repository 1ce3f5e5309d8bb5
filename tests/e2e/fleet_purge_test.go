package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// A purge on one node reaches all. Each test looks at what is served, by serial numbers.

const purgeLimit = readInterval + 2*time.Second

// replaced has the backend answer names with new certificates from now on.
func (f *fleet) replaced() {
	f.backend.AnswerOthers(testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
}

// serials are what a node serves for the names.
func (n *node) serials(names []string) []string {
	n.t.Helper()
	served := make([]string, len(names))
	for i, name := range names {
		leaf, err := n.handshake(name)
		if err != nil {
			n.t.Errorf("%s: %v", name, err)
		}
		served[i] = serial(leaf)
	}
	return served
}

// gone waits until no node serves any of the old certificates, and returns how long that took.
func (f *fleet) gone(names, old []string) time.Duration {
	f.t.Helper()
	watch := startWatch()
	for _, n := range f.nodes {
		for {
			served := n.serials(names)
			if !slices.ContainsFunc(served, func(serial string) bool { return slices.Contains(old, serial) }) {
				break
			}
			if took := watch.took(); took > 3*purgeLimit {
				f.t.Fatalf("%s still serves what was purged after %s", n.folder, took)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return watch.took()
}

func (f *fleet) inTime(what string, took time.Duration) {
	f.t.Helper()
	f.t.Logf("%s: gone on all nodes after %s (target <= %s)", what, took.Round(10*time.Millisecond), purgeLimit)
	if took > purgeLimit {
		f.t.Errorf("%s took %s", what, took)
	}
}

func (f *fleet) known(names []string) []string {
	f.t.Helper()
	old := f.nodes[0].serials(names)
	f.settled(len(names))
	for _, n := range f.nodes[1:] {
		if served := n.serials(names); !slices.Equal(served, old) {
			f.t.Fatalf("a node serves other certificates than the first: %v, want %v", served, old)
		}
	}
	return old
}

func TestFleetPurge(t *testing.T) {
	t.Parallel()
	names := fleetNames(10)
	f := startFleet(t, 3, "s-maxage=3600")
	old := f.known(names)

	f.replaced()
	f.nodes[2].adminDoor().purge(fmt.Sprintf(`{"names": [%q]}`, names[0]), 1)
	f.inTime("a name, by the API", f.gone(names[:1], old[:1]))
	f.nodes[1].cachedHTTP("purge", names[1]).expect(t, 0)
	f.inTime("a name, by the command", f.gone(names[1:2], old[1:2]))
	for _, n := range f.nodes {
		if served := n.serials(names[2:]); !slices.Equal(served, old[2:]) {
			t.Error("a name that nobody has purged was fetched again")
		}
	}

	var purgers sync.WaitGroup
	for i, n := range f.nodes[:2] {
		purgers.Go(func() { n.adminDoor().purge(fmt.Sprintf(`{"names": [%q, %q]}`, names[2+i], names[4+i]), 2) })
	}
	purgers.Wait()
	f.inTime("two purgers at once", f.gone(names[2:6], old[2:6]))

	old = f.known(names)
	f.replaced()
	f.nodes[0].adminDoor().purgeAll()
	f.inTime("all", f.gone(names, old))
	requests := len(f.backend.Requests())
	for _, n := range f.nodes {
		n.handshakes(names...)
	}
	if more := len(f.backend.Requests()) - requests; more > 0 {
		t.Errorf("%d further requests once all have the new ones", more)
	}
	// What was purged while the node had the newest: the new ones stay for good, on a new node too.
	served := f.nodes[0].serials(names)
	f.start(1)
	for i, serial := range f.nodes[3].serials(names) {
		if slices.Contains(old, serial) {
			t.Errorf("a new node serves what was purged: %s", names[i])
		}
	}
	if again := f.nodes[0].serials(names); !slices.Equal(again, served) {
		t.Error("a purge was carried out twice")
	}
}

// A node that was stopped during the purge has the old certificate on its disk.
func TestFleetPurgeWhileANodeIsStopped(t *testing.T) {
	t.Parallel()
	names := fleetNames(4)
	f := startFleet(t, 3, "s-maxage=3600")
	old := f.known(names)
	stopped := f.nodes[2]
	eventually(t, 20*time.Second, "all are on disk", func() bool { return len(entries(t, stopped.folder+"/cache")) == len(names) })
	stopped.stop()
	f.replaced()
	f.nodes[0].adminDoor().purge(fmt.Sprintf(`{"names": [%q, %q]}`, names[0], names[1]), 2)
	time.Sleep(2 * readInterval)
	f.nodes[0].handshakes(names...)
	stopped.run()
	f.inTime("a name, on a node that was stopped", f.gone(names[:2], old[:2]))
	if served := stopped.serials(names[2:]); !slices.Equal(served, old[2:]) {
		t.Error("what nobody has purged did not come back from disk")
	}

	old = f.known(names)
	eventually(t, 20*time.Second, "all are on disk", func() bool { return len(entries(t, stopped.folder+"/cache")) == len(names) })
	stopped.stop()
	f.replaced()
	f.nodes[1].adminDoor().purgeAll()
	time.Sleep(2 * readInterval)
	stopped.run()
	f.inTime("all, on a node that was stopped", f.gone(names, old))
	// The next start carries out nothing twice.
	served := stopped.serials(names)
	requests := len(f.backend.Requests())
	eventually(t, 20*time.Second, "all are on disk", func() bool { return len(entries(t, stopped.folder+"/cache")) == len(names) })
	stopped.restart()
	time.Sleep(2 * readInterval)
	if again := stopped.serials(names); !slices.Equal(again, served) || len(f.backend.Requests()) != requests {
		t.Errorf("a restart fetched again: %d requests", len(f.backend.Requests())-requests)
	}
}

// What is purged while the storage takes nothing is gone here, and told later: after a restart, and by the cache that a reload has
// put in the place of the one that was purged.
func TestFleetPurgeThatTheStorageDoesNotTake(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 2, "s-maxage=3600")
	one := f.nodes[0]
	for i, test := range []struct {
		title string
		begin func()
	}{
		{"restart", one.restart},
		{"reload-with-another-cache-dir", func() {
			s := one.site()
			for i, option := range s.options {
				s.options[i] = strings.ReplaceAll(option, one.folder+"/cache", one.folder+"/other-cache")
			}
			one.caddy.reload(s)
		}},
	} {
		title, names := test.title, coldNames(test.title, 1)
		sent := one.serials(names)
		f.settled(i + 1)
		if served := f.nodes[1].serials(names); !slices.Equal(served, sent) {
			t.Fatalf("%s: not shared", title)
		}
		f.replaced()
		f.faults(fault{Kind: "error", Operations: []string{"store", "delete"}})
		one.cachedHTTP("purge", names[0]).expect(t, 1)
		test.begin()
		eventually(t, 10*time.Second, title+": it serves what it has purged itself", func() bool { return !slices.Equal(one.serials(names), sent) })
		f.faults()
		f.gone(names, sent)
		if served := one.serials(names); slices.Equal(served, sent) {
			t.Errorf("%s: it is back", title)
		}
	}
}

// A 204 on one node withdraws the certificate on the others, and from the storage.
func TestFleetWithdrawal(t *testing.T) {
	t.Parallel()
	names := fleetNames(2)
	f := startFleet(t, 3, "s-maxage=3600")
	f.known(names)
	f.backend.Answer(names[0], testbackend.Status(http.StatusNoContent))
	f.nodes[1].adminDoor().refresh(fmt.Sprintf(`{"names": [%q]}`, names[0]), names[0]+" no_certificate")
	watch := startWatch()
	for _, n := range f.nodes {
		eventually(t, 5*purgeLimit, "it is withdrawn on all", func() bool {
			_, err := n.handshake(names[0])
			return err != nil
		})
	}
	f.inTime("a 204", watch.took())
	f.settled(1)
	for _, n := range f.nodes {
		n.handshakes(names[1])
	}
	f.backend.Close()
	f.start(1)
	f.nodes[3].refused(names[0])
	f.nodes[3].handshakes(names[1])
}

// purgeAll purges all names, however many there are.
func (o *operator) purgeAll() {
	o.t.Helper()
	if status, text, _ := o.ask(http.MethodPost, "/purge", `{"all": true}`); status != http.StatusOK {
		o.t.Errorf("purge of all: %d %s", status, text)
	}
}
