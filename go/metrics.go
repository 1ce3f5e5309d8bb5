package cachedhttp

import (
	"errors"
	"runtime"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// registerMetrics makes the metrics part of a configuration's. Each configuration has a registry of its own, and
// several module instances in one share a collector.
func registerMetrics(registry prometheus.Registerer) error {
	var registered prometheus.AlreadyRegisteredError
	if err := registry.Register(collector{}); err != nil && !errors.As(err, &registered) {
		return err
	}
	return nil
}

// collector reads the totals of every engine when metrics are asked for; nothing is counted twice. There is no
// label for a server name: they are as many as scanners want.
type collector struct{}

const metricsPrefix = "caddy_cached_http_"

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(metricsPrefix+name, help, labels, nil)
}

var (
	lookupsMetric = describe("lookups_total", "Handshakes by what the cache knew of their name. "+
		"A miss waits for the backend.", "backend", "result")
	fetchesMetric = describe("fetches_total", "Requests to the backend by their outcome.", "backend", "outcome")
	fetchSeconds  = describe("fetch_duration_seconds", "How long requests to the backend took.", "backend")
	refreshes     = describe("refreshes_total", "Requests for a newer certificate while the stored one is served.", "backend")
	invalid       = describe("invalid_bundles_total", "Answers of the backend, and entries on disk, that can't be used.", "backend")
	failedMetric  = describe("handshakes_failed_total", "Handshakes that got no certificate, by reason; "+
		"those that wait for one name together count once.", "backend", "reason")
	firstEnd = describe("first_certificate_end_timestamp_seconds",
		"When the first certificate ends of those that were asked for in the last minutes.", "backend")
	firstBridgeEnd = describe("first_bridge_end_timestamp_seconds",
		"When the first certificate that was asked for in the last minutes is served no more, if its refresh goes on failing.", "backend")
	maxEntryBytes = describe("max_entry_bytes", "What entry_bytes may come to before certificates are evicted: max_memory.", "backend")
	maxDiskBytes  = describe("max_disk_bytes", "What disk_bytes may come to before certificates are removed: max_disk.", "backend")
	diskEntries   = describe("disk_entries", "Certificates in cache_dir, as last counted.", "backend")
	diskBytes     = describe("disk_bytes", "Bytes of certificates in cache_dir, as last counted.", "backend")
	entriesMetric = describe("entries", "Certificates in memory.", "backend")
	entryBytes    = describe("entry_bytes", "Bytes of certificates in memory.", "backend")
	negatives     = describe("negatives", "Names in memory for which the backend has no certificate.", "backend")
	evictions     = describe("evictions_total", "Certificates evicted from memory for lack of room.", "backend")
	failingNames  = describe("failing_names", "Names whose last fetch failed, as far as they are remembered.", "backend")
	breakerOpen   = describe("breaker_open", "1 while the backend counts as down and is only probed.", "backend")
	diskMetric    = describe("disk_operations_total", "Certificates read from disk and written to it, and what the disk rejected.", "backend", "operation")
	signatures    = describe("signatures_total", "Signatures made for handshakes, of all backends together.")
	signingTime   = describe("signature_seconds_total", "How long signing took, of all backends together.")
	buildInfo     = describe("build_info", "Always 1; the labels say what runs.",
		"version", "caddy_version", "goversion", "archive_sha256")
)

// Describe sends the descriptions.
func (collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, description := range []*prometheus.Desc{
		lookupsMetric, fetchesMetric, fetchSeconds, refreshes, invalid, failedMetric, entriesMetric, entryBytes,
		negatives, evictions, failingNames, breakerOpen, firstEnd, firstBridgeEnd, diskMetric, diskEntries, diskBytes,
		maxEntryBytes, maxDiskBytes,
		signatures, signingTime, buildInfo,
	} {
		descriptions <- description
	}
	for _, description := range slices.Concat(fleetMetrics, orderMetrics) {
		descriptions <- description
	}
}

// Collect sends the values. Safe for concurrent use.
func (collector) Collect(metrics chan<- prometheus.Metric) {
	byBackend := make(map[string]native.Counters)
	limits := make(map[string]store.Limits)
	fleets := make(map[string]map[store.StorageCall]store.StorageTimes)
	failures := make(map[[2]string]uint64)
	for _, running := range store.RunningStores() {
		counters, err := running.Counters()
		if err != nil {
			continue // it was closed just now
		}
		if other, twice := byBackend[running.Backend()]; twice {
			counters = counters.Plus(other) // one backend with two cache directories
		}
		byBackend[running.Backend()] = counters
		limits[running.Backend()] = sum(limits[running.Backend()], running)
		if running.IsDistributed() {
			if fleets[running.Backend()] == nil {
				fleets[running.Backend()] = make(map[store.StorageCall]store.StorageTimes)
			}
			for call, times := range running.StorageTimes() {
				fleets[running.Backend()][call] = fleets[running.Backend()][call].Plus(times)
			}
		}
		for reason, count := range running.Failures() {
			failures[[2]string{running.Backend(), reason}] += count
		}
	}
	for labels, count := range failures {
		sink{metrics: metrics}.count(failedMetric, count, labels[:]...)
	}
	for backend, counters := range byBackend {
		collectEngine(metrics, backend, counters)
		collectLimits(metrics, backend, limits[backend])
		if times, isDistributed := fleets[backend]; isDistributed {
			collectFleet(metrics, backend, counters)
			collectFleetTimes(metrics, backend, times)
		}
	}
	if orders := issuance.Running(); orders != nil {
		collectOrders(metrics, orders.Counts())
	}
	signed, took := store.Signatures()
	metrics <- prometheus.MustNewConstMetric(signatures, prometheus.CounterValue, float64(signed))
	metrics <- prometheus.MustNewConstMetric(signingTime, prometheus.CounterValue, took.Seconds())
	metrics <- prometheus.MustNewConstMetric(buildInfo, prometheus.GaugeValue, 1, buildLabels()...)
}

// buildLabels tell two nodes apart that run different builds. The archive is the Rust library.
var buildLabels = sync.OnceValue(func() []string {
	caddyVersion, _ := caddy.Version()
	return []string{native.Version, caddyVersion, runtime.Version(), native.ArchiveDigest()}
})

// sum adds the limits of one more cache, whose sizes are added, too.
func sum(limits store.Limits, running *store.Store) store.Limits {
	more := running.Limits()
	limits.MaxMemory += more.MaxMemory
	if running.CacheDir() != "" {
		limits.MaxDisk += more.MaxDisk
	}
	return limits
}

func collectLimits(metrics chan<- prometheus.Metric, backend string, limits store.Limits) {
	to := sink{metrics, []string{backend}}
	to.gauge(maxEntryBytes, float64(limits.MaxMemory))
	if limits.MaxDisk > 0 { // there is a cache_dir
		to.gauge(maxDiskBytes, float64(limits.MaxDisk))
	}
}

func collectEngine(metrics chan<- prometheus.Metric, backend string, counters native.Counters) {
	to := sink{metrics, []string{backend}}
	to.count(lookupsMetric, counters.Hits, "hit")
	to.count(lookupsMetric, counters.StaleHits, "stale")
	to.count(lookupsMetric, counters.NegativeHits, "negative")
	to.count(lookupsMetric, counters.Misses, "miss")
	to.count(lookupsMetric, counters.UnsupportedHits, "unsupported_key_type")
	to.count(lookupsMetric, counters.InvalidNames, "invalid_name")
	to.count(lookupsMetric, counters.BackedOff, "backed_off")
	to.count(fetchesMetric, counters.NoCertificate, "no_certificate")
	to.count(fetchesMetric, counters.NotModified, "not_modified")
	to.count(fetchesMetric, counters.FetchErrors, "failed")
	to.count(fetchesMetric, counters.Found, "found")
	to.count(refreshes, counters.Refreshes)
	to.count(invalid, counters.InvalidBundles)
	to.gauge(entriesMetric, float64(counters.Entries))
	to.gauge(entryBytes, float64(counters.EntryBytes))
	to.gauge(negatives, float64(counters.Negatives))
	to.count(evictions, counters.Evictions)
	to.gauge(failingNames, float64(counters.FailingNames))
	to.gauge(breakerOpen, oneIf(counters.BreakerIsOpen))
	to.time(firstEnd, counters.FirstCertificateEnd)
	to.time(firstBridgeEnd, counters.FirstBridgeEnd)
	to.gauge(diskEntries, float64(counters.DiskEntries))
	to.gauge(diskBytes, float64(counters.DiskBytes))
	to.count(diskMetric, counters.DiskHits, "read")
	to.count(diskMetric, counters.DiskWrites, "written")
	to.count(diskMetric, counters.DiskErrors, "failed")

	buckets := make(map[float64]uint64, len(native.FetchTimeBounds))
	var total uint64
	for index, bound := range native.FetchTimeBounds {
		total += counters.FetchTimes[index]
		buckets[bound] = total
	}
	total += counters.FetchTimes[len(native.FetchTimeBounds)]
	metrics <- prometheus.MustNewConstHistogram(fetchSeconds, total, counters.FetchTime.Seconds(), buckets, backend)
}
