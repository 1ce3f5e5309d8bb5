package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// Several Caddys that share a storage, and nothing else. Each test prints what it has measured beside what was aimed at.

const readInterval = time.Second

// fleet is what the nodes have in common.
type fleet struct {
	t       *testing.T
	backend *testbackend.Server
	folder  string   // the values of the storage
	storage string   // the line of the Caddyfile; CONTROL stands for a node's control socket
	keys    []string // files, the first seals
	options []string // further ones of each node's getter
	fleet   []string // further ones of distributed
	nodes   []*node
}

// node is one Caddy of a fleet.
type node struct {
	*caddy

	fleet *fleet
	keys  []string // instead of the fleet's
}

// newFleet makes a fleet on the storage that the tests can make fail; it has no nodes yet.
func newFleet(t *testing.T, cacheControl string) *fleet {
	t.Helper()
	if !slices.Contains(caddyModules, "caddy.storage.fault") {
		t.Skip("the Caddy of CACHED_HTTP_CADDY lacks caddy.storage.fault: build it with --with " + faultStorage + "@v0.0.0=tests/faultstorage")
	}
	folder := filepath.Join(t.TempDir(), "storage")
	f := &fleet{
		t: t, folder: folder, keys: []string{newKey(t)},
		backend: startBackend(t, testbackend.Certificate(authority, testca.P256, cacheControl)),
		storage: fmt.Sprintf("storage fault {\n root %q\n control CONTROL\n }", folder),
	}
	return f
}

// startFleet makes a fleet of so many running nodes, whose backend answers each name with a certificate.
func startFleet(t *testing.T, size int, cacheControl string) *fleet {
	t.Helper()
	f := newFleet(t, cacheControl)
	f.start(size)
	return f
}

// start starts further nodes, and waits until each has read the purges.
func (f *fleet) start(count int) {
	f.t.Helper()
	for range count {
		f.prepare().run()
	}
}

// prepare makes a node that does not run yet.
func (f *fleet) prepare() *node {
	f.t.Helper()
	n := &node{caddy: prepareCaddy(f.t), fleet: f}
	f.nodes = append(f.nodes, n)
	f.t.Cleanup(func() {
		if forbidden := n.report().Forbidden; len(forbidden) > 0 {
			f.t.Errorf("forbidden on the storage: %q", forbidden)
		}
	})
	return n
}

func (n *node) site() site {
	keys := n.keys
	if keys == nil {
		keys = n.fleet.keys
	}
	lines := []string{"distributed {", "\tencryption_key"}
	for _, key := range keys {
		lines[1] += " " + key
	}
	storage := bytes.ReplaceAll([]byte(n.fleet.storage), []byte("CONTROL"), []byte(n.folder+"/control.sock"))
	lines = append(lines, string(storage), "read_interval "+readInterval.String())
	lines = append(append(lines, n.fleet.fleet...), "}")
	return site{
		url:     n.fleet.backend.URL(),
		options: append(append(lines, "cache_dir "+n.folder+"/cache"), n.fleet.options...),
	}
}

func (n *node) run() {
	n.t.Helper()
	n.start(n.site())
}

func (n *node) reload() {
	n.t.Helper()
	n.caddy.reload(n.site())
}

func (n *node) restart() {
	n.t.Helper()
	n.stop()
	n.run()
}

// newKey makes a key file, as openssl rand -hex 32 writes it. Its text may stand in no log.
func newKey(t *testing.T) string {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	path := filepath.Join(t.TempDir(), "fleet.key")
	if err := os.WriteFile(path, []byte(plant(hex.EncodeToString(key))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// fault is what goes wrong on the storage, see tests/faultstorage.
type fault struct {
	Operations   []string `json:"operations,omitempty"`
	Key          string   `json:"key,omitempty"`
	Kind         string   `json:"kind"`
	Milliseconds int      `json:"milliseconds,omitempty"`
	With         string   `json:"with,omitempty"`
}

// report is what the storage of one node was asked for.
type report struct {
	Counts       map[string]map[string]int
	Inside, Most int
	Forbidden    []string
}

// faults have the storage fail on all nodes from now on; with none it works again.
func (f *fleet) faults(faults ...fault) {
	f.t.Helper()
	for _, n := range f.nodes {
		n.faults(faults...)
	}
}

func (n *node) faults(faults ...fault) {
	n.t.Helper()
	body, err := json.Marshal(append([]fault{}, faults...))
	if err != nil {
		n.t.Fatal(err)
	}
	n.tell(http.MethodPut, "/faults", body, nil)
}

func (n *node) report() (r report) {
	n.t.Helper()
	n.tell(http.MethodGet, "/report", nil, &r)
	return r
}

// tell speaks with the storage of a node; one that does not run has nothing to say.
func (n *node) tell(method, path string, body []byte, into any) {
	n.t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(n.folder, "control.sock"))
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	request, err := http.NewRequest(method, "http://storage"+path, bytes.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	response, err := client.Do(request)
	var unreachable *net.OpError
	if errors.As(err, &unreachable) && unreachable.Op == "dial" {
		return
	} else if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	if into != nil {
		err = json.NewDecoder(response.Body).Decode(into)
	}
	if err != nil || response.StatusCode != http.StatusOK {
		n.t.Fatalf("the storage's control: %s %v", response.Status, err)
	}
}

// fleetNames are so many, each with a certificate of its own.
func fleetNames(count int) []string { return coldNames("shop", count) }

// timedEach opens one handshake for each name, so many at once, and returns how long each took and how many failed.
func (n *node) timedEach(names []string, clients int) (took []time.Duration, failed int) {
	var mutex sync.Mutex
	var all sync.WaitGroup
	queue := make(chan string)
	for range clients {
		all.Go(func() {
			for name := range queue {
				watch := startWatch()
				_, err := n.handshake(name)
				mutex.Lock()
				took = append(took, watch.took())
				if err != nil {
					failed++
					n.t.Logf("%s: %v", name, err)
				}
				mutex.Unlock()
			}
		})
	}
	for _, name := range names {
		queue <- name
	}
	close(queue)
	all.Wait()
	slices.Sort(took)
	return took, failed
}

// median of what is sorted, in tenths of a millisecond.
func median(sorted []time.Duration) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2].Round(100 * time.Microsecond)
}

func serial(leaf *x509.Certificate) string {
	if leaf == nil {
		return "none"
	}
	return leaf.SerialNumber.String()
}

// sealed are the paths of the records of certificates on the storage.
func (f *fleet) sealed() (paths []string) {
	f.t.Helper()
	walk(f.t, f.folder, func(path string, info fs.FileInfo) {
		if info.Mode().IsRegular() && filepath.Base(path) != "purges" && !strings.HasPrefix(filepath.Base(path), ".") {
			paths = append(paths, path)
		}
	})
	return paths
}

// settled waits until as many records are on the storage.
func (f *fleet) settled(count int) {
	f.t.Helper()
	eventually(f.t, 30*time.Second, fmt.Sprintf("%d records are on the storage", count), func() bool { return len(f.sealed()) == count })
}

func isJournal(key string) bool { return strings.HasSuffix(key, "/purges") }
