package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// A node starts for the first time while the backend is down, and serves what the fleet knows. It measures, and so runs alone.
func TestFleetNewNodeInAnOutage(t *testing.T) {
	for title, kind := range map[string]string{"fault": "", "file_system": "storage file_system "} {
		t.Run(title, func(t *testing.T) {
			names := fleetNames(300)
			f := newFleet(t, "s-maxage=3600")
			if kind != "" {
				f.storage = kind + f.folder
			}
			f.start(3)
			f.nodes[0].handshakes(names...)
			f.settled(len(names))
			f.nodes[1].handshakes(names...)
			warm := f.nodes[0]
			eventually(t, 20*time.Second, "all are on disk", func() bool { return len(entries(t, warm.folder+"/cache")) == len(names) })
			f.backend.Close()

			// One handshake for a name of no node: what a process does the first time is none of the storage's doing.
			warm.restart()
			f.start(1)
			cold := f.nodes[3]
			warm.refused("warm-up.example.com")
			cold.refused("warm-up.example.com")
			fromDisk, fromFleet, failed := inTurns(warm, cold, names)
			ratio := float64(median(fromFleet)) / float64(median(fromDisk))
			t.Logf("fourth node on %s, backend down: %d of %d handshakes failed; median first handshake %s, from a warm disk %s: %.2fx (target <= 1.5x)",
				title, failed, 2*len(names), median(fromFleet), median(fromDisk), ratio)
			if failed > 0 {
				t.Errorf("%d handshakes failed", failed)
			}
			if ratio > 1.5 {
				t.Errorf("%.2f times as long as from disk", ratio)
			}
		})
	}
}

// RSA and ECDSA certificates of the fleet, each for clients that can use it, on a node that never heard of them.
func TestFleetServesEachKindOfClient(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 1, "s-maxage=3600")
	f.backend.Answer("rsa.example.com", testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600"))
	f.backend.Answer("both.example.com", testbackend.ByClient(
		testbackend.Certificate(authority, testca.P256, "s-maxage=3600"),
		testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600")))
	first := f.nodes[0]
	serials := func(n *node) (all []string) {
		for _, name := range []string{"rsa.example.com", "both.example.com"} {
			for _, client := range []hello{tls13, rsaOnly} {
				leaf, err := n.handshake(name, client)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				all = append(all, serial(leaf))
			}
		}
		return all
	}
	want := serials(first)
	f.settled(3)
	f.backend.Close()
	f.start(1)
	if got := serials(f.nodes[1]); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// inTurns opens a handshake for each name with both nodes, so that whatever else the machine does is the same for both.
func inTurns(warm, cold *node, names []string) (fromDisk, fromFleet []time.Duration, failed int) {
	for _, name := range names {
		took, missed := warm.timedEach([]string{name}, 1)
		fromDisk, failed = append(fromDisk, took...), failed+missed
		took, missed = cold.timedEach([]string{name}, 1)
		fromFleet, failed = append(fromFleet, took...), failed+missed
	}
	slices.Sort(fromDisk)
	slices.Sort(fromFleet)
	return fromDisk, fromFleet, failed
}
