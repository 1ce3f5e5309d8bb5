package cachedhttp

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// What is shared with a fleet, of caches that are part of one.
var (
	fleetCertificates = describe("fleet_certificates_total", "Certificates on the storage of the fleet: adopted from it in place "+
		"of a request to the backend, looked for and missing, and sealed into it.", "backend", "result")
	fleetRefused = describe("fleet_records_refused_total", "Records on the storage of the fleet that were not used, by reason.", "backend", "reason")
	fleetFailed  = describe("fleet_operations_failed_total", "Operations that the storage of the fleet has failed, or not answered in time.", "backend")
	fleetSkipped = describe("fleet_operations_skipped_total", "Operations that were not begun, since the storage of the fleet fails or "+
		"too many wait for it.", "backend")
	fleetPurges      = describe("fleet_purges_total", "Purges by other nodes of the fleet, carried out here.", "backend")
	fleetBreakerOpen = describe("fleet_breaker_open", "1 while the storage of the fleet is left alone, since it fails.", "backend")
	fleetOperations  = describe("fleet_operations", "Operations of the storage of the fleet that have not returned.", "backend")
	fleetWrites      = describe("fleet_writes", "What waits to be written to the storage of the fleet.", "backend")
	fleetPurgesRead  = describe("fleet_purges_read_timestamp_seconds", "When the purges by other nodes of the fleet were last read.", "backend")
	fleetSeconds     = describe("fleet_operation_duration_seconds", "How long operations of the storage of the fleet took, "+
		"also those that nobody waits for any more.", "backend", "operation", "result")
)

var fleetMetrics = []*prometheus.Desc{
	fleetCertificates, fleetRefused, fleetFailed, fleetSkipped, fleetPurges, fleetBreakerOpen, fleetOperations, fleetWrites,
	fleetPurgesRead, fleetSeconds,
}

func collectFleet(metrics chan<- prometheus.Metric, backend string, counters native.Counters) {
	count := func(description *prometheus.Desc, value uint64, labels ...string) {
		labels = append([]string{backend}, labels...)
		metrics <- prometheus.MustNewConstMetric(description, prometheus.CounterValue, float64(value), labels...)
	}
	gauge := func(description *prometheus.Desc, value float64) {
		metrics <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, backend)
	}
	count(fleetCertificates, counters.FleetAdopted, "adopted")
	count(fleetCertificates, counters.FleetMissing, "missing")
	count(fleetCertificates, counters.FleetSealed, "sealed")
	count(fleetRefused, counters.FleetDamaged, "damaged")
	count(fleetRefused, counters.FleetUnknownKey, "unknown_key")
	count(fleetRefused, counters.FleetUnfit, "unfit")
	count(fleetFailed, counters.FleetFailures)
	count(fleetSkipped, counters.FleetSkipped)
	count(fleetPurges, counters.FleetPurges)
	gauge(fleetBreakerOpen, map[bool]float64{true: 1}[counters.FleetBreakerIsOpen])
	gauge(fleetOperations, float64(counters.FleetOperations))
	gauge(fleetWrites, float64(counters.FleetWrites))
	if readAt := counters.FleetPurgesReadAt; !readAt.IsZero() {
		gauge(fleetPurgesRead, float64(readAt.UnixMilli())/1000)
	}
}

func collectFleetTimes(metrics chan<- prometheus.Metric, backend string, times map[store.StorageCall]store.StorageTimes) {
	for call, took := range times {
		metrics <- prometheus.MustNewConstHistogram(fleetSeconds, took.Count, took.Total.Seconds(), took.Buckets(),
			backend, call.Operation, call.Result)
	}
}
