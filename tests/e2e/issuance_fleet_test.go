package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
)

// Three nodes make the failing orders of one, and a purge on one of them is known to the others.
func TestIssuanceInAFleet(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Status(http.StatusNoContent))
	nodes := []*caddy{prepareCaddy(t), prepareCaddy(t), prepareCaddy(t)}
	i := startIssuer(t, nodes[0])
	key := newKey(t)
	shared := filepath.Join(nodes[0].folder, "shared")
	for _, node := range nodes {
		s := i.guarded(backend.URL(), "ask "+yes(t))
		s.options = append(s.options, "distributed {", "\tencryption_key "+key, "\tread_interval 1s", "\tstorage file_system "+shared, "}")
		node.start(s)
	}
	const name = "customer.example.com"
	told := func(notes int) {
		t.Helper()
		eventually(t, startLimit, fmt.Sprintf("%d notes are on the storage", notes), func() bool {
			found, _ := filepath.Glob(filepath.Join(shared, "cached_http", "*", "texts", "*"))
			return len(found) >= notes
		})
	}
	_, _ = nodes[0].visitOnce(name)
	first := i.orders() // one for each challenge that was tried
	told(2)             // of the name and of its domain
	for round := range 3 {
		for _, node := range nodes {
			if _, err := node.visitOnce(name); err == nil {
				t.Errorf("round %d: a certificate", round)
			}
		}
	}
	if more := i.orders(); first == 0 || more != first {
		t.Errorf("%d orders, then %d", first, more)
	}
	if facts := nodes[2].inspectOrders(name); facts.Failures != 1 || facts.LastProblem == "" {
		t.Errorf("%+v", facts)
	}

	i.names.point("127.0.0.1", name)
	nodes[1].cachedHTTP("purge", name).expect(t, 0)
	if took, err := nodes[0].visitOnce(name); err == nil {
		t.Logf("another node knows of it at once, after %v", took) // the machine was busy: then this shows nothing
	}
	eventually(t, 20*time.Second, "the purge is known to another node", func() bool {
		_, err := nodes[0].visitOnce(name)
		return err == nil
	})

	const second = "customer.example.net"
	for _, node := range nodes {
		_, _ = node.visitOnce(second)
		told(4)
	}
	i.names.point("127.0.0.1", second)
	nodes[1].cachedHTTP("purge", "--all", "--yes").expect(t, 0)
	// What it has told itself is no longer learnt.
	if took, err := nodes[1].visitOnce(second); err != nil {
		t.Errorf("after a purge of all: %v after %v", err, took)
	}
	eventually(t, 20*time.Second, "the purge of all is known to another node", func() bool {
		_, err := nodes[2].visitOnce(second)
		return err == nil
	})
}
