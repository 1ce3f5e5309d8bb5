package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// soak makes storms as long and large as before a release: `make soak`.
var soak = os.Getenv("SOAK") != ""

// Storms run one after the other, and before the tests that run side by side: they measure.

// 10,000 names that nobody knows wait at the same time for a backend that hangs: known names go on, threads stay few,
// and each of the 10,000 is answered by its deadline and half a second. They come at a rate that two cores can open
// handshakes at, or the client's own queue would be measured.
func TestStormOnAHungBackend(t *testing.T) {
	cold, timeout := 2_000, 7*time.Second
	if soak {
		cold, timeout = 10_000, 18*time.Second
	}
	const perSecond, grace = 800, 500 * time.Millisecond
	const workers = 64 // each a thread while it waits
	needFiles(t, uint64(cold)+1000)
	backend := startBackend(t, testbackend.Hang())
	known := knownNames(backend, 50)
	c := startCaddy(t, site{url: backend.URL(), options: []string{
		"timeout " + timeout.String(), fmt.Sprint("max_concurrent_fetches ", workers),
	}})
	c.handshakes(known...)
	quiet := c.timed(known, time.Second)
	threads := c.status("Threads")

	var late, succeeded atomic.Int64
	var slowest, waiting, mostWaiting atomic.Int64
	var clients sync.WaitGroup
	pace := time.NewTicker(time.Second / perSecond)
	defer pace.Stop()
	for i := range cold {
		<-pace.C
		clients.Go(func() {
			raise(&mostWaiting, waiting.Add(1))
			defer waiting.Add(-1)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			watch := startWatch()
			if _, err := c.handshakeWithin(ctx, fmt.Sprintf("cold-%d.example.com", i)); err == nil {
				succeeded.Add(1)
			}
			took := watch.took()
			raise(&slowest, int64(took))
			if took > timeout+grace {
				late.Add(1)
			}
		})
	}
	stormy := c.timed(known, time.Second)
	mostThreads := c.status("Threads")
	clients.Wait()
	t.Logf("%d cold names on a hung backend, %d waiting at once: the slowest is answered after %s (deadline %s)",
		cold, mostWaiting.Load(), time.Duration(slowest.Load()).Round(10*time.Millisecond), timeout)
	t.Logf("known names: %d handshakes, %d failed, p99 %s (quiet: %s)", stormy.count, stormy.failed, stormy.p99, quiet.p99)
	t.Logf("threads: %d before, %d in the storm; %d requests at the backend", threads, mostThreads, len(backend.Requests()))
	if stormy.failed > 0 || succeeded.Load() > 0 || late.Load() > 0 {
		t.Errorf("%d known names failed, %d cold ones succeeded, %d were answered too late", stormy.failed, succeeded.Load(), late.Load())
	}
	if mostThreads > workers+64 {
		t.Errorf("%d threads", mostThreads)
	}
	if most := int(mostWaiting.Load()); most < cold*9/10 {
		t.Errorf("only %d of %d names waited at once: too slow a machine for this rate?", most, cold)
	}
}

// raise makes the greatest value so far of what is counted.
func raise(greatest *atomic.Int64, value int64) {
	for old := greatest.Load(); value > old && !greatest.CompareAndSwap(old, value); old = greatest.Load() {
	}
}

// Scanners: many made-up names a second beside known traffic.
func TestStormOfUnknownNames(t *testing.T) {
	seconds := 5
	if soak {
		seconds = 40
	}
	const perSecond = 500
	backend := startBackend(t, testbackend.Status(http.StatusNoContent))
	known := knownNames(backend, 50)
	c := prepareCaddy(t)
	c.start(site{url: backend.URL(), options: []string{"cache_dir " + c.folder + "/cache"}})
	c.handshakes(known...)
	quiet := c.timed(known, 2*time.Second)
	files := countFiles(t, c.folder+"/cache/entries")
	requests, memory := len(backend.Requests()), c.status("VmRSS")

	ended := make(chan struct{})
	var scanners sync.WaitGroup
	var scanned atomic.Int64
	ticker := time.NewTicker(time.Second / perSecond)
	defer ticker.Stop()
	for range 16 {
		scanners.Go(func() {
			for {
				select {
				case <-ended:
					return
				case <-ticker.C:
					_, _ = c.handshake(fmt.Sprintf("made-up-%d.example.com", scanned.Add(1)))
				}
			}
		})
	}
	stormy := c.timed(known, time.Duration(seconds)*time.Second)
	threads := c.status("Threads")
	close(ended)
	scanners.Wait()
	asked := len(backend.Requests()) - requests
	lines := c.countInLog(`"logger":"tls.get_certificate.cached_http"`)
	t.Logf("%d made-up names in %d s: %d requests, %d files more, %d lines of ours in the log, %d threads, RSS %d KiB more",
		scanned.Load(), seconds, asked, countFiles(t, c.folder+"/cache/entries")-files, lines, threads, c.status("VmRSS")-memory)
	t.Logf("known names: %d handshakes, %d failed, p99 %s (quiet: %s)", stormy.count, stormy.failed, stormy.p99, quiet.p99)
	if stormy.failed > 0 {
		t.Errorf("%d known names failed", stormy.failed)
	}
	if int64(asked) != scanned.Load() {
		t.Errorf("%d requests for %d names", asked, scanned.Load())
	}
	if more := countFiles(t, c.folder+"/cache/entries") - files; more != 0 {
		t.Errorf("%d files for unknown names", more)
	}
	if lines > 10*(seconds+5) || threads > 64+64 {
		t.Errorf("%d lines, %d threads", lines, threads)
	}
	for _, name := range known {
		if count := backend.Count(name); count != 1 {
			t.Errorf("%s was asked for %d times", name, count)
		}
	}
}

// The backend is down while customers come: what they notice of it, and what it will have noticed of us.
func TestStormWhileTheBackendIsDown(t *testing.T) {
	count, seconds := 200, 6
	if soak {
		count, seconds = 1_000, 60
	}
	const lifetime = 2 // seconds
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, fmt.Sprint("s-maxage=", lifetime)))
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("shop-%d.example.com", i)
	}
	c := startCaddy(t, site{url: backend.URL()})
	c.handshakes(names...)
	quiet := c.timed(names, 3*time.Second)
	backend.AnswerOthers(testbackend.Status(http.StatusInternalServerError))
	before := len(backend.Requests())
	down := c.timed(names, time.Duration(seconds)*time.Second)
	asked, normal := len(backend.Requests())-before, count*seconds/lifetime
	t.Logf("backend down for %d s: %d handshakes for %d names, %d failed, p99 %s (quiet: %s); %d requests, up to %d would be normal",
		seconds, down.count, count, down.failed, down.p99, quiet.p99, asked, normal)
	if down.failed > 0 || asked > 1+normal/5 {
		t.Errorf("%d failed, %d requests", down.failed, asked)
	}
}

// Herds on one cold name whose first client leaves at any moment: nobody else fails, and one request is made.
func TestHerdLosesItsLeader(t *testing.T) {
	rounds, size := 5, 50
	if soak {
		rounds, size = 20, 500
	}
	backend := startBackend(t, testbackend.After(300*time.Millisecond, testbackend.Certificate(authority, testca.P256, "s-maxage=600")))
	c := startCaddy(t, site{url: backend.URL()})
	var failed atomic.Int64
	for round := range rounds {
		name := fmt.Sprintf("herd-%d.example.com", round)
		ctx, leave := context.WithCancel(t.Context())
		var herd sync.WaitGroup
		herd.Go(func() { _, _ = c.handshakeWithin(ctx, name) })
		time.Sleep(20 * time.Millisecond)
		for range size {
			herd.Go(func() {
				if _, err := c.handshake(name); err != nil && failed.Add(1) == 1 {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Duration(round*300/rounds) * time.Millisecond)
		leave()
		herd.Wait()
		if count := backend.Count(name); count != 1 {
			t.Errorf("%d requests for %s", count, name)
		}
	}
	t.Logf("%d herds of %d, each left by its leader: %d failures", rounds, size, failed.Load())
}

// Reloads under load.
func TestManyReloads(t *testing.T) {
	reloads := 20
	if soak {
		reloads = 200
	}
	backend := startBackend(t, testbackend.Status(http.StatusNoContent))
	known := knownNames(backend, 20)
	c := startCaddy(t, site{url: backend.URL()})
	c.handshakes(known...)
	threads := c.status("Threads")
	load := make(chan measured)
	ended := make(chan struct{})
	go func() { load <- c.timedUntil(known, ended) }()
	for i := range reloads {
		c.reload(site{url: backend.URL(), options: []string{fmt.Sprintf("negative_ttl %dm", 1+i%30)}})
	}
	close(ended)
	result := <-load
	t.Logf("%d reloads: %d handshakes, %d failed, %d connections reset before one began, %d requests for %d names, threads %d -> %d",
		reloads, result.count, result.failed, result.resets, len(backend.Requests()), len(known), threads, c.status("Threads"))
	if result.failed > 0 || len(backend.Requests()) != len(known) {
		t.Errorf("%d failed, %d requests", result.failed, len(backend.Requests()))
	}
	begin := time.Now()
	backend.AnswerOthers(testbackend.Hang())
	go func() { _, _ = c.handshake("hanging.example.com") }()
	time.Sleep(200 * time.Millisecond)
	stopping := time.Now()
	c.stop()
	t.Logf("shutdown with a hung fetch: %s", time.Since(stopping).Round(10*time.Millisecond))
	// grace_period is a second of its own; the fetch would go on for ten.
	if took := time.Since(stopping); took > 8*time.Second {
		t.Errorf("the shutdown took %s (%s since the backend hangs)", took, time.Since(begin))
	}
}

// A reload may bring another URL or folder: then the old engine ends, but not under the handshakes that use it.
func TestReloadsToAnotherEngine(t *testing.T) {
	backend := startBackend(t, testbackend.Status(http.StatusNoContent))
	known := knownNames(backend, 20)
	c := prepareCaddy(t)
	folder := func(i int) site {
		return site{url: backend.URL(), options: []string{fmt.Sprintf("cache_dir %s/cache-%d", c.folder, i%3)}}
	}
	c.start(folder(0))
	c.handshakes(known...)
	load := make(chan measured)
	ended := make(chan struct{})
	go func() { load <- c.timedUntil(known, ended) }()
	for i := range 12 {
		c.reload(folder(i + 1))
	}
	close(ended)
	result := <-load
	t.Logf("12 reloads to another folder: %d handshakes, %d failed, %d connections reset before one began, %d requests for %d names",
		result.count, result.failed, result.resets, len(backend.Requests()), len(known))
	if result.failed > 0 {
		t.Errorf("%d failed", result.failed)
	}
}

func knownNames(backend *testbackend.Server, count int) []string {
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("known-%d.example.com", i)
		backend.Answer(names[i], testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	}
	return names
}

// measured is what clients of known names saw.
type measured struct {
	count, failed, resets int
	p99                   time.Duration
}

// timed opens handshakes for the names, two at a time, for so long.
func (c *caddy) timed(names []string, long time.Duration) measured {
	ended := make(chan struct{})
	timer := time.AfterFunc(long, func() { close(ended) })
	defer timer.Stop()
	return c.timedUntil(names, ended)
}

func (c *caddy) timedUntil(names []string, ended <-chan struct{}) measured {
	var mutex sync.Mutex
	var result measured
	var took []time.Duration
	var clients sync.WaitGroup
	for first := range 2 {
		clients.Go(func() {
			for i := first; ; i++ {
				select {
				case <-ended:
					return
				default:
				}
				watch := startWatch()
				_, err := c.handshake(names[i%len(names)])
				resets := 0
				for ; resets < 3 && wasReset(err); resets++ {
					_, err = c.handshake(names[i%len(names)])
				}
				mutex.Lock()
				took = append(took, watch.took())
				result.resets += resets
				if err != nil {
					result.failed++
					c.t.Log(err)
				}
				mutex.Unlock()
			}
		})
	}
	clients.Wait()
	slices.Sort(took)
	result.count = len(took)
	if len(took) > 0 {
		result.p99 = took[len(took)*99/100].Round(100 * time.Microsecond)
	}
	return result
}

// status reads a number from the process's status: Threads, VmRSS (KiB).
func (c *caddy) status(field string) int {
	c.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.command.Process.Pid))
	if err != nil {
		c.t.Skip("this needs /proc:", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, field+":"); found {
			number, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				c.t.Fatal(err)
			}
			return number
		}
	}
	c.t.Fatal("no", field)
	return 0
}

func countFiles(t *testing.T, folder string) (count int) {
	t.Helper()
	walk(t, folder, func(_ string, info fs.FileInfo) {
		if info.Mode().IsRegular() {
			count++
		}
	})
	return count
}

// needFiles skips a test for which a process may open too few files; Go raises the limit as far as it may.
func needFiles(t *testing.T, count uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Max < count {
		t.Skipf("this needs %d open files, and %d are allowed", count, limit.Max)
	}
}
