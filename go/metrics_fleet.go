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
	fleetBreakerOpen = describe("fleet_breaker_open", "1 while reads or writes of the storage of the fleet are left alone, since they fail.", "backend")
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
	to := sink{metrics, []string{backend}}
	to.count(fleetCertificates, counters.FleetAdopted, "adopted")
	to.count(fleetCertificates, counters.FleetMissing, "missing")
	to.count(fleetCertificates, counters.FleetSealed, "sealed")
	to.count(fleetRefused, counters.FleetDamaged, "damaged")
	to.count(fleetRefused, counters.FleetUnknownKey, "unknown_key")
	to.count(fleetRefused, counters.FleetUnfit, "unfit")
	to.count(fleetFailed, counters.FleetFailures)
	to.count(fleetSkipped, counters.FleetSkipped)
	to.count(fleetPurges, counters.FleetPurges)
	to.gauge(fleetBreakerOpen, oneIf(counters.FleetBreakerIsOpen))
	to.gauge(fleetOperations, float64(counters.FleetOperations))
	to.gauge(fleetWrites, float64(counters.FleetWrites))
	to.time(fleetPurgesRead, counters.FleetPurgesReadAt)
}

func collectFleetTimes(metrics chan<- prometheus.Metric, backend string, times map[store.StorageCall]store.StorageTimes) {
	for call, took := range times {
		metrics <- prometheus.MustNewConstHistogram(fleetSeconds, took.Count, took.Total.Seconds(), took.Buckets(),
			backend, call.Operation, call.Result)
	}
}
