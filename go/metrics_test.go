package cachedhttp

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store/storetest"
	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// One registry for each configuration, as Caddy has them; the totals are the engine's own and go on.
func TestMetricsOfARealEngineOutliveARegistry(t *testing.T) {
	backend, server := stack(t, `, "ttl": "1h"`)
	backend.Keep("a.example", backend.Bundle(testca.P256, "a.example"), "")
	for range 3 {
		if err := server.handshake("a.example"); err != nil {
			t.Fatal(err)
		}
	}
	_ = server.handshake("unknown.example")
	_ = server.handshake("unknown.example")
	caddyVersion, _ := caddy.Version()
	// In the order of the labels' names.
	whatRuns := strings.Join([]string{native.ArchiveDigest(), caddyVersion, runtime.Version(), native.Version}, " ")
	for range 2 {
		registry := prometheus.NewRegistry()
		for range 2 { // two module instances in one configuration
			if err := registerMetrics(registry); err != nil {
				t.Fatal(err)
			}
		}
		values := gather(t, registry)
		for name, want := range map[string]float64{
			"caddy_cached_http_lookups_total hit":                      2,
			"caddy_cached_http_lookups_total miss":                     2,
			"caddy_cached_http_lookups_total negative":                 1,
			"caddy_cached_http_fetches_total found":                    1,
			"caddy_cached_http_fetches_total no_certificate":           1,
			"caddy_cached_http_fetch_duration_seconds":                 2,
			"caddy_cached_http_entries":                                1,
			"caddy_cached_http_negatives":                              1,
			"caddy_cached_http_breaker_open":                           0,
			"caddy_cached_http_handshakes_failed_total no_certificate": 2,
			"caddy_cached_http_handshakes_failed_total overloaded":     0,
			"caddy_cached_http_max_entry_bytes":                        256 << 20,
			"caddy_cached_http_disk_entries":                           0,
			"caddy_cached_http_disk_operations_total written":          0,
			"caddy_cached_http_build_info " + whatRuns:                 1,
		} {
			if got, known := values[name]; !known || got != want {
				t.Errorf("%s is %v (known: %v), not %v", name, got, known, want)
			}
		}
		if values["caddy_cached_http_signatures_total"] < 3 || values["caddy_cached_http_signature_seconds_total"] <= 0 {
			t.Error("signatures are not counted")
		}
		if end := values["caddy_cached_http_first_certificate_end_timestamp_seconds"]; end <= float64(time.Now().Unix()) {
			t.Error("the first certificate ends at", end)
		}
		if end, known := values["caddy_cached_http_first_bridge_end_timestamp_seconds"]; known {
			t.Error("nothing fails, but a bridge ends at", end)
		}
		if limit, known := values["caddy_cached_http_max_disk_bytes"]; known {
			t.Error("there is no cache_dir, but a limit of", limit)
		}
	}
}

// What all caches of one backend hold is told together, and so are their limits.
func TestLimitsAreOfAllCachesOfABackend(t *testing.T) {
	backend := testbackend.New(t)
	openGetter(t, backend, `, "max_memory": "1MiB"`)
	for range 2 {
		openGetter(t, backend, fmt.Sprintf(`, "max_memory": "2MiB", "max_disk": "3MiB", "cache_dir": %q`, t.TempDir()+"/cache"))
	}
	registry := prometheus.NewRegistry()
	if err := registerMetrics(registry); err != nil {
		t.Fatal(err)
	}
	values := gather(t, registry)
	if memory, disk := values["caddy_cached_http_max_entry_bytes"], values["caddy_cached_http_max_disk_bytes"]; memory != 5<<20 || disk != 6<<20 {
		t.Errorf("the limits are %v and %v", memory, disk)
	}
}

// gather returns values by metric name and its second label; of histograms the count.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		for _, metric := range family.Metric {
			name := family.GetName()
			for _, label := range metric.Label {
				if label.GetName() != "backend" {
					name += " " + label.GetValue()
				}
			}
			values[name] += valueOf(metric)
		}
	}
	return values
}

func valueOf(metric *dto.Metric) float64 {
	switch {
	case metric.Counter != nil:
		return metric.Counter.GetValue()
	case metric.Gauge != nil:
		return metric.Gauge.GetValue()
	}
	return float64(metric.Histogram.GetSampleCount())
}

// A backend that is down: the second handshake fails at once with the reason of the first.
func TestAFailingNameFailsAtOnce(t *testing.T) {
	getter := provisioned(t, `{"url": "http://127.0.0.1:1/certificates"}`)
	defer getter.Cleanup()
	const refused = `backend 127.0.0.1:1: connection refused`
	get := func() string {
		_, err := getter.GetCertificate(context.Background(), storetest.Hello("a.example"))
		if err == nil {
			t.Fatal("it succeeds")
		}
		return strings.TrimPrefix(err.Error(), `cached_http: "a.example": `)
	}
	asked := uint64(0)
	text := get()
	for ; text == refused && asked < 5; text = get() { // it is asked again where a second has passed meanwhile
		asked++
	}
	if text != "not asked again yet; the last answer was: "+refused {
		t.Fatal(text)
	}
	counters, err := getter.lease.Counters()
	if err != nil || counters.FetchErrors != asked || counters.BackedOff != 1 || counters.FailingNames != 1 {
		t.Errorf("%+v, %v", counters, err)
	}
}
