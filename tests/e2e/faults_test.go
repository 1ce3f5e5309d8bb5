package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// A long time with a backend of which every twentieth answer is a fault: known names never notice, and what the process
// takes stops growing.
func TestSoakWithFaults(t *testing.T) {
	long, count := 10*time.Second, 100
	if soak {
		long, count = 12*time.Minute, 1_000
	}
	good := testbackend.Certificate(authority, testca.P256, "s-maxage=2")
	backend := startBackend(t, good)
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("shop-%d.example.com", i)
	}
	c := prepareCaddy(t)
	c.start(site{url: backend.URL(), options: []string{"timeout 4s", "cache_dir " + c.folder + "/cache"}})
	c.handshakes(names...)
	backend.AnswerOthers(faulty(good))
	fetched := len(backend.Requests())

	ended := make(chan struct{})
	var samples []resources
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for begin := time.Now(); ; {
			select {
			case <-ended:
				return
			case <-time.After(long / 100):
				samples = append(samples, c.resources(time.Since(begin)))
			}
		}
	}()
	result := c.timed(names, long)
	close(ended)
	<-watched
	// The first half warms up.
	samples = samples[len(samples)/2:]
	first, last := samples[0], samples[len(samples)-1]
	t.Logf("%d handshakes in %s, %d failed, p99 %s; %d requests, a twentieth of them faults",
		result.count, long, result.failed, result.p99, len(backend.Requests())-fetched)
	for _, row := range []struct {
		name  string
		value func(resources) float64
		slack float64
	}{
		{"RSS (KiB)", func(r resources) float64 { return float64(r.resident) }, 16 << 10},
		{"threads", func(r resources) float64 { return float64(r.threads) }, 24},
		{"descriptors", func(r resources) float64 { return float64(r.descriptors) }, 24},
	} {
		slope := slopeOf(samples, row.value)
		grown := slope * (last.at - first.at).Seconds()
		t.Logf("%s: %.0f at half time, %.0f at the end, slope of the second half %+.2f a minute",
			row.name, row.value(first), row.value(last), slope*60)
		if grown > row.slack {
			t.Errorf("%s grow by %.0f", row.name, grown)
		}
	}
	if result.failed > 0 {
		t.Errorf("%d handshakes failed", result.failed)
	}
}

// faulty answers one request of twenty by a fault of another kind each.
func faulty(good testbackend.Answer) testbackend.Answer {
	faults := []testbackend.Answer{
		testbackend.Status(http.StatusInternalServerError),
		testbackend.Text([]byte("-----BEGIN CERTIFICATE-----\n"), "s-maxage=2"),
		testbackend.Hang(),
		reset,
		testbackend.Redirect("http://127.0.0.1:1/"),
	}
	return func(response http.ResponseWriter, request *http.Request, name string) {
		answer := good
		if rand.IntN(20) == 0 { // #nosec G404 -- which one is of no secret
			answer = faults[rand.IntN(len(faults))] // #nosec G404
		}
		answer(response, request, name)
	}
}

// reset cuts the connection.
func reset(response http.ResponseWriter, _ *http.Request, _ string) {
	if connection, _, err := http.NewResponseController(response).Hijack(); err == nil {
		_ = connection.Close()
	}
}

// resources are what a process takes at a moment.
type resources struct {
	at                             time.Duration
	resident, threads, descriptors int
}

func (c *caddy) resources(at time.Duration) resources {
	descriptors, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.command.Process.Pid))
	return resources{at, c.status("VmRSS"), c.status("Threads"), len(descriptors)}
}

// slopeOf fits a line through the samples: how much a value grows a second. The median of all pairs, so that a burst
// in one sample says little.
func slopeOf(samples []resources, value func(resources) float64) float64 {
	var slopes []float64
	for i, one := range samples {
		for _, other := range samples[i+1:] {
			slopes = append(slopes, (value(other)-value(one))/(other.at-one.at).Seconds())
		}
	}
	slices.Sort(slopes)
	return slopes[len(slopes)/2]
}
