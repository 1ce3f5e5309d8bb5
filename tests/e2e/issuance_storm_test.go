package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// orderStorm is made-up names that an `ask` says yes to, while customers come.
type orderStorm struct {
	title      string
	onDemand   []string // of on_demand_tls; YES is an ask that says yes
	perSecond  int
	oneDomain  bool // or as many domains as names
	maxOpen    int  // handshakes for made-up names at the end; -1 is not looked at
	newServed  bool // whether new customers are
	maxOrders  int  // of made-up names; -1 is not looked at
	pointsHere bool // resolves_to
}

// orderResult is what a storm came to.
type orderResult struct {
	open, served, orders int
	slowest              time.Duration // of new customers
	quiet, stormy        measured      // of known names
}

// Made-up names that somebody lets Caddy order: known names go on, new customers get in, and what is refused is refused
// at once. Stock beside ours with SOAK=1.
func TestIssuanceStorm(t *testing.T) {
	perSecond := 50
	if soak {
		perSecond = 100
	}
	ours := func(options ...string) []string {
		return append(append([]string{"permission cached_http {", "ask YES"}, options...), "}")
	}
	storms := []orderStorm{
		{"names of one domain", ours(), perSecond, true, 4, true, -1, false},
		{"as many domains, resolves_to", ours("resolves_to 127.0.0.1", "resolvers DNS"), perSecond, false, 0, true, 0, true},
		{"as many domains", ours(), perSecond, false, 8, false, -1, false},
	}
	if soak {
		storms = append(storms, orderStorm{"stock, names of one domain", []string{"ask YES"}, perSecond, true, -1, false, -1, false},
			orderStorm{"stock, 20 a second", []string{"ask YES"}, 20, true, -1, false, -1, false})
	}
	for _, storm := range storms {
		t.Run(storm.title, func(t *testing.T) {
			storm.run(t, map[bool]time.Duration{false: 8 * time.Second, true: 30 * time.Second}[soak])
		})
	}
}

func (s orderStorm) run(t *testing.T, long time.Duration) (result orderResult) {
	t.Helper()
	backend := startBackend(t, testbackend.Status(204))
	known := make([]string, 50)
	for i := range known {
		known[i] = fmt.Sprintf("known-%d.example.com", i)
		backend.Answer(known[i], testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	}
	c := prepareCaddy(t)
	i := startIssuer(t, c)
	customers := []string{"first.customer.net", "www.second-customer.org", "third-customer.com"}
	i.names.point("127.0.0.1", customers...)
	onDemand := slices.Clone(s.onDemand)
	for line := range onDemand {
		onDemand[line] = strings.NewReplacer("YES", yes(t), "DNS", i.names.address).Replace(onDemand[line])
	}
	c.start(i.site(backend.URL(), onDemand))
	c.handshakes(known...)
	quiet := c.timed(known, long/4)
	memory, goroutines := c.status("VmRSS"), c.goroutines()

	storm, end := context.WithTimeout(t.Context(), long)
	defer end()
	var open, made atomic.Int64
	var mutex sync.Mutex
	var refused []time.Duration
	var clients sync.WaitGroup
	clients.Go(func() {
		pace := time.NewTicker(time.Second / time.Duration(s.perSecond))
		defer pace.Stop()
		for n := 0; storm.Err() == nil; n++ {
			name := fmt.Sprintf("made-up-%d.victim.com", n)
			if !s.oneDomain {
				name = fmt.Sprintf("www.made-up-%d.com", n)
			}
			made.Add(1)
			open.Add(1)
			clients.Go(func() {
				defer open.Add(-1)
				ctx, cancel := context.WithTimeout(context.Background(), long+5*time.Second)
				defer cancel()
				took, _ := c.waitForOrder(ctx, name)
				mutex.Lock()
				defer mutex.Unlock()
				refused = append(refused, took)
			})
			<-pace.C
		}
	})
	var stormy measured
	clients.Go(func() { stormy = c.timedUntil(known, storm.Done()) })
	time.Sleep(long / 8)
	var served int
	var slowest time.Duration
	for _, name := range customers {
		took, err := c.visitAgain(storm, name)
		slowest = max(slowest, took)
		if err == nil {
			served++
		} else if s.newServed {
			t.Errorf("%s: after %v: %v", name, took, err)
		}
	}
	<-storm.Done()
	// For the handshakes that were begun last.
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) && open.Load() > int64(max(0, s.maxOpen)); time.Sleep(20 * time.Millisecond) {
		continue
	}
	stillOpen, moreMemory, moreGoroutines := int(open.Load()), c.status("VmRSS")-memory, c.goroutines()-goroutines
	orders := i.orders()
	clients.Wait()
	slices.Sort(refused)
	refused = refused[:max(1, len(refused)-orders-stillOpen)] // without those that waited for an order
	p95 := refused[len(refused)*95/100]
	t.Logf("%s: %d made-up names, %d a second: %d open at the end, p95 %s; %d of %d new customers served, slowest %s; %d orders; "+
		"known names p99 %s (quiet %s), %d failed; RSS %+d KiB, goroutines %+d; %d lines in the log above DEBUG",
		s.title, made.Load(), s.perSecond, stillOpen, p95.Round(100*time.Microsecond), served, len(customers), slowest.Round(time.Millisecond),
		orders, stormy.p99, quiet.p99, stormy.failed, moreMemory, moreGoroutines, len(c.notable()))
	result = orderResult{stillOpen, served, orders, slowest, quiet, stormy}
	if stormy.failed > 0 {
		t.Errorf("%d handshakes of known names failed", stormy.failed)
	}
	if s.maxOpen < 0 {
		return result
	}
	// Who waits for an order does so for a second and more; a handshake takes what it takes on a busy machine.
	if stillOpen > s.maxOpen || p95 > 100*time.Millisecond+10*quiet.p99 {
		t.Errorf("%d handshakes are open, p95 %s", stillOpen, p95)
	}
	if s.newServed && slowest > 3*time.Second {
		t.Errorf("a new customer waited for %s", slowest)
	}
	if s.maxOrders >= 0 && orders > s.maxOrders+len(customers) {
		t.Errorf("%d orders", orders)
	}
	if moreGoroutines > 30+3*max(1, s.maxOpen) || moreMemory > 32<<10 {
		t.Errorf("RSS %+d KiB, goroutines %+d", moreMemory, moreGoroutines)
	}
	return result
}

// visitAgain opens handshakes as somebody does who reloads the page each second, until one succeeds.
func (c *caddy) visitAgain(ctx context.Context, name string) (took time.Duration, err error) {
	watch := startWatch()
	for {
		if _, err = c.waitForOrder(ctx, name); err == nil || ctx.Err() != nil {
			return watch.took(), err
		}
		time.Sleep(1100 * time.Millisecond)
	}
}

// goroutines counts those of the process.
func (c *caddy) goroutines() int {
	c.t.Helper()
	text := c.admin("/debug/pprof/goroutine?debug=1")
	_, rest, _ := strings.Cut(text, "total ")
	number, _, _ := strings.Cut(rest, "\n")
	count, err := strconv.Atoi(number)
	if err != nil {
		c.t.Fatal(err)
	}
	return count
}
