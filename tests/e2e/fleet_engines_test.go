package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// The same on storages that operators have, started by the test: `make fleet` builds a Caddy with their modules, and names those whose
// programs are there in CACHED_HTTP_FLEET.

func TestFleetOnRedis(t *testing.T) {
	redis := newRedis(t)
	storage := fmt.Sprintf("storage redis {\n host 127.0.0.1\n port %d\n }", redis.port)
	newEngineFleet(t, storage).promises("Redis")

	for title, fault := range map[string]func(){
		"killed":  func() { redis.signal(syscall.SIGKILL) },
		"stopped": func() { redis.signal(syscall.SIGSTOP) },
	} {
		t.Run(title, func(t *testing.T) {
			redis.t = t
			redis.start()
			f := newEngineFleet(t, storage)
			f.start(3)
			known := knownNames(f.backend, 20)
			for _, n := range f.nodes {
				n.handshakes(known...)
			}
			quiet := f.nodes[0].timed(known, 2*time.Second)
			base, _ := f.nodes[0].timedEach(coldNames("quiet", 40), 1)
			var load sync.WaitGroup
			results := make([]int, len(f.nodes))
			for i, n := range f.nodes[1:] {
				load.Go(func() { _, results[i] = n.timedEach(coldNames("load", 600), 4) })
			}
			time.Sleep(200 * time.Millisecond)
			fault()
			// A node's first misses; then what is known of the storage.
			first, failedFirst := f.nodes[0].timedEach(coldNames("first", untilNoticed), 1)
			load.Wait()
			time.Sleep(2100 * time.Millisecond)
			later, failedLater := f.nodes[0].timedEach(coldNames("later", 60), 1)
			stormy := f.nodes[0].timed(known, 2*time.Second)
			failed := quiet.failed + stormy.failed + failedFirst + failedLater + results[0] + results[1]
			t.Logf("Redis %s under load: %d handshakes failed (target 0); hits' p99 %s, before %s (target <= 1.1x)", title, failed, stormy.p99, quiet.p99)
			t.Logf("Redis %s under load: a miss takes %s, at most %s more at first (target <= 100ms), %s more in the middle later (target <= 5ms)",
				title, median(base), (first[len(first)-1] - median(base)).Round(100*time.Microsecond), median(later)-median(base))
			if failed > 0 || first[len(first)-1] > median(base)+headStart+2*slack || median(later) > median(base)+afterwards {
				t.Error("clients notice it")
			}
			redis.signal(syscall.SIGCONT)
			redis.start()
			sealed := f.sealedByNodes()
			eventually(t, 60*time.Second, "Redis is used again", func() bool {
				f.nodes[0].handshakes(fmt.Sprintf("after-%d.example.com", time.Now().UnixNano()))
				return f.sealedByNodes() > sealed
			})
		})
	}
}

func TestFleetOnS3(t *testing.T) {
	engine := newEngine(t, "s3", "moto_server", func(port int, _ string) []string {
		return []string{"-H", "127.0.0.1", "-p", fmt.Sprint(port)}
	})
	engine.start()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, fmt.Sprintf("http://127.0.0.1:%d/fleet", engine.port), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("making a bucket: %v %v", response, err)
	}
	response.Body.Close()
	newEngineFleet(t, fmt.Sprintf("storage s3 {\n endpoint http://127.0.0.1:%d\n bucket fleet\n access_key key\n secret_key secret\n "+
		"prefix certificates\n region us-east-1\n use_path_style true\n }", engine.port)).promises("S3")
}

// promises are those of the table that do not need a fault.
func (f *fleet) promises(title string) {
	f.t.Helper()
	names := fleetNames(300)
	f.start(3)
	for _, n := range f.nodes {
		if _, failed := n.timedEach(names, 4); failed > 0 {
			f.t.Errorf("%d handshakes failed", failed)
		}
		f.written()
	}
	perName := float64(len(f.backend.Requests())) / float64(len(names))
	f.t.Logf("%s: 3 nodes one after the other, %d names: %.3f backend requests per name (target <= 1.02)", title, len(names), perName)
	if perName > 1.02 {
		f.t.Errorf("%.3f requests per name", perName)
	}

	old := f.nodes[0].serials(names[:4])
	f.backend.AnswerOthers(testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	f.nodes[1].adminDoor().purge(fmt.Sprintf(`{"names": [%q, %q, %q, %q]}`, names[0], names[1], names[2], names[3]), 4)
	f.inTime(title+": a purge", f.gone(names[:4], old))
	f.written()

	warm := f.nodes[0]
	eventually(f.t, 20*time.Second, "all are on disk", func() bool { return len(entries(f.t, warm.folder+"/cache")) == len(names) })
	f.backend.Close()
	warm.restart()
	f.start(1)
	cold := f.nodes[3]
	warm.refused("warm-up.example.com")
	cold.refused("warm-up.example.com")
	fromDisk, fromFleet, failed := inTurns(warm, cold, names)
	ratio := float64(median(fromFleet)) / float64(median(fromDisk))
	f.t.Logf("fourth node on %s, backend down: %d of %d handshakes failed; median first handshake %s, from a warm disk %s: %.2fx (target <= 1.5x, on Redis)",
		title, failed, 2*len(names), median(fromFleet), median(fromDisk), ratio)
	if failed > 0 || title == "Redis" && ratio > 1.5 {
		f.t.Error("that is not what was aimed at")
	}
	for _, n := range f.nodes {
		n.stop()
	}
}

// newEngineFleet is one on a storage whose values the test can't look at.
func newEngineFleet(t *testing.T, storage string) *fleet {
	t.Helper()
	return &fleet{
		t: t, keys: []string{newKey(t)}, storage: storage,
		backend: startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600")),
	}
}

// written waits until no node has anything left to write.
func (f *fleet) written() {
	f.t.Helper()
	time.Sleep(50 * time.Millisecond) // what a handshake has left to do
	for _, n := range f.nodes {
		eventually(f.t, 30*time.Second, "all is written", func() bool {
			return n.metric("fleet_writes{") == 0 && n.metric("fleet_operations{") == 0
		})
	}
}

func (f *fleet) sealedByNodes() (sum float64) {
	f.t.Helper()
	for _, n := range f.nodes {
		sum += n.metric("fleet_certificates_total{", `result="sealed"`)
	}
	return sum
}

// metric is the value on the line that holds all the texts.
func (n *node) metric(texts ...string) (value float64) {
	n.t.Helper()
	for line := range strings.Lines(n.admin("/metrics")) {
		if slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			continue
		}
		if _, err := fmt.Sscan(line[strings.LastIndex(line, " ")+1:], &value); err != nil {
			n.t.Fatal(err)
		}
		return value
	}
	n.t.Fatalf("no metric with %q", texts)
	return 0
}

// engine is a program that keeps the values of a storage.
type engine struct {
	t         *testing.T
	program   string
	arguments []string
	port      int
	folder    string
	command   *exec.Cmd
}

func newEngine(t *testing.T, name, program string, arguments func(port int, folder string) []string) *engine {
	t.Helper()
	if !slices.Contains(strings.Fields(os.Getenv("CACHED_HTTP_FLEET")), name) {
		t.Skip("only by make fleet, where", program, "is installed")
	}
	folder := filepath.Join(suiteFolder, "engine-"+name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	e := &engine{t: t, program: program, arguments: arguments(port, folder), port: port, folder: folder}
	t.Cleanup(func() { e.signal(syscall.SIGKILL) })
	return e
}

func newRedis(t *testing.T) *engine {
	t.Helper()
	e := newEngine(t, "redis", "redis-server", func(port int, folder string) []string {
		return []string{"--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"}
	})
	e.start()
	return e
}

// start starts the program unless it runs, and waits until it listens.
func (e *engine) start() {
	e.t.Helper()
	if e.command == nil {
		e.command = exec.CommandContext(context.Background(), e.program, e.arguments...)
		e.command.Dir = e.folder
		if err := e.command.Start(); err != nil {
			e.t.Fatal(err)
		}
	}
	eventually(e.t, 30*time.Second, e.program+" listens", func() bool {
		connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", e.port))
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	})
}

// signal reaches the program if it runs; one that kills it is waited for.
func (e *engine) signal(signal syscall.Signal) {
	if e.command == nil {
		return
	}
	_ = e.command.Process.Signal(signal)
	if signal == syscall.SIGKILL {
		_ = e.command.Wait()
		e.command = nil
	}
}
