// Code generated from rust/core/src/counters.rs by make header; DO NOT EDIT.

package native

// #include "cached_http.h"
import "C"

import "time"

// Counters are an engine's totals since it was opened, and its sizes now.
type Counters struct {
	// Lookups answered from memory with a fresh certificate.
	Hits uint64
	// Lookups answered with a certificate past its lifetime.
	StaleHits uint64
	// Lookups answered from memory with "no such name".
	NegativeHits uint64
	// Lookups answered from memory with "of a kind that this client can't use".
	UnsupportedHits uint64
	// Lookups that started or joined a fetch.
	Misses uint64
	// Lookups rejected for their server name.
	InvalidNames uint64
	// Lookups turned away because the backend failed lately.
	BackedOff uint64
	// Lookups turned away for want of a worker.
	Overloaded uint64
	// 200 answers.
	Found uint64
	// 304 answers.
	NotModified uint64
	// 204 answers.
	NoCertificate uint64
	// Requests that gave no answer.
	FetchErrors uint64
	// Requests for a newer certificate while the stored one is served.
	Refreshes uint64
	// Bundles rejected, here or by the host.
	InvalidBundles uint64
	// Misses answered from disk.
	DiskHits uint64
	// Entries written to disk.
	DiskWrites uint64
	// Reads and writes that the disk rejected, and entries that were damaged.
	DiskErrors uint64
	// Entries evicted from memory for lack of room.
	Evictions uint64
	// Certificates taken from the fleet's storage in place of a request to the backend.
	FleetAdopted uint64
	// Names that the fleet's storage was asked for and does not have.
	FleetMissing uint64
	// Certificates sealed and written to the fleet's storage.
	FleetSealed uint64
	// Operations that the fleet's storage failed, or has not answered in time.
	FleetFailures uint64
	// Operations not begun: the storage fails, or too many wait for it.
	FleetSkipped uint64
	// Records that can't be opened: damaged, cut, or moved from another key.
	FleetDamaged uint64
	// Records sealed with a key that this node does not have.
	FleetUnknownKey uint64
	// Records that were opened and may not be served.
	FleetUnfit uint64
	// Purges by other nodes, carried out here.
	FleetPurges uint64
	// Entries in memory.
	Entries uint64
	// Bytes of entries in memory.
	EntryBytes uint64
	// Negatives in memory.
	Negatives uint64
	// Names whose last fetch failed, as far as they are remembered.
	FailingNames uint64
	// Whether no name is asked for, since the backend failed for one after the other.
	BreakerIsOpen bool
	// When the first certificate ends of those that were asked for in the last minutes.
	// Zero if there is none.
	FirstCertificateEnd time.Time
	// When the first of them is served no more if its refresh goes on failing.
	// Zero if there is none.
	FirstBridgeEnd time.Time
	// Entries in the cache directory, as last counted; zero without one, and before it was first used.
	DiskEntries uint64
	// Bytes of entries in the cache directory, in whole blocks.
	DiskBytes uint64
	// Whether reads or writes of the fleet's storage are left alone, since they fail.
	FleetBreakerIsOpen bool
	// Operations of the fleet's storage that have not returned, those included that nobody waits for any more.
	FleetOperations uint64
	// What waits to be written to the fleet's storage.
	FleetWrites uint64
	// When the purges of other nodes were last read.
	// Zero if there is none.
	FleetPurgesReadAt time.Time
	FetchDurations
}

// Plus adds another engine's.
func (c Counters) Plus(other Counters) Counters {
	c.Hits += other.Hits
	c.StaleHits += other.StaleHits
	c.NegativeHits += other.NegativeHits
	c.UnsupportedHits += other.UnsupportedHits
	c.Misses += other.Misses
	c.InvalidNames += other.InvalidNames
	c.BackedOff += other.BackedOff
	c.Overloaded += other.Overloaded
	c.Found += other.Found
	c.NotModified += other.NotModified
	c.NoCertificate += other.NoCertificate
	c.FetchErrors += other.FetchErrors
	c.Refreshes += other.Refreshes
	c.InvalidBundles += other.InvalidBundles
	c.DiskHits += other.DiskHits
	c.DiskWrites += other.DiskWrites
	c.DiskErrors += other.DiskErrors
	c.Evictions += other.Evictions
	c.FleetAdopted += other.FleetAdopted
	c.FleetMissing += other.FleetMissing
	c.FleetSealed += other.FleetSealed
	c.FleetFailures += other.FleetFailures
	c.FleetSkipped += other.FleetSkipped
	c.FleetDamaged += other.FleetDamaged
	c.FleetUnknownKey += other.FleetUnknownKey
	c.FleetUnfit += other.FleetUnfit
	c.FleetPurges += other.FleetPurges
	c.Entries += other.Entries
	c.EntryBytes += other.EntryBytes
	c.Negatives += other.Negatives
	c.FailingNames += other.FailingNames
	c.BreakerIsOpen = c.BreakerIsOpen || other.BreakerIsOpen
	c.FirstCertificateEnd = earlier(c.FirstCertificateEnd, other.FirstCertificateEnd)
	c.FirstBridgeEnd = earlier(c.FirstBridgeEnd, other.FirstBridgeEnd)
	c.DiskEntries += other.DiskEntries
	c.DiskBytes += other.DiskBytes
	c.FleetBreakerIsOpen = c.FleetBreakerIsOpen || other.FleetBreakerIsOpen
	c.FleetOperations += other.FleetOperations
	c.FleetWrites += other.FleetWrites
	c.FleetPurgesReadAt = earlier(c.FleetPurgesReadAt, other.FleetPurgesReadAt)
	c.FetchDurations = c.FetchDurations.plus(other.FetchDurations)
	return c
}

func countersOf(view *C.cached_http_counters) (c Counters) {
	c.Hits = uint64(view.hits)
	c.StaleHits = uint64(view.stale_hits)
	c.NegativeHits = uint64(view.negative_hits)
	c.UnsupportedHits = uint64(view.unsupported_hits)
	c.Misses = uint64(view.misses)
	c.InvalidNames = uint64(view.invalid_names)
	c.BackedOff = uint64(view.backed_off)
	c.Overloaded = uint64(view.overloaded)
	c.Found = uint64(view.found)
	c.NotModified = uint64(view.not_modified)
	c.NoCertificate = uint64(view.no_certificate)
	c.FetchErrors = uint64(view.fetch_errors)
	c.Refreshes = uint64(view.refreshes)
	c.InvalidBundles = uint64(view.invalid_bundles)
	c.DiskHits = uint64(view.disk_hits)
	c.DiskWrites = uint64(view.disk_writes)
	c.DiskErrors = uint64(view.disk_errors)
	c.Evictions = uint64(view.evictions)
	c.FleetAdopted = uint64(view.fleet_adopted)
	c.FleetMissing = uint64(view.fleet_missing)
	c.FleetSealed = uint64(view.fleet_sealed)
	c.FleetFailures = uint64(view.fleet_failures)
	c.FleetSkipped = uint64(view.fleet_skipped)
	c.FleetDamaged = uint64(view.fleet_damaged)
	c.FleetUnknownKey = uint64(view.fleet_unknown_key)
	c.FleetUnfit = uint64(view.fleet_unfit)
	c.FleetPurges = uint64(view.fleet_purges)
	c.Entries = uint64(view.entries)
	c.EntryBytes = uint64(view.entry_bytes)
	c.Negatives = uint64(view.negatives)
	c.FailingNames = uint64(view.failing_names)
	c.BreakerIsOpen = bool(view.breaker_is_open)
	c.FirstCertificateEnd = timeOf(view.first_certificate_end)
	c.FirstBridgeEnd = timeOf(view.first_bridge_end)
	c.DiskEntries = uint64(view.disk_entries)
	c.DiskBytes = uint64(view.disk_bytes)
	c.FleetBreakerIsOpen = bool(view.fleet_breaker_is_open)
	c.FleetOperations = uint64(view.fleet_operations)
	c.FleetWrites = uint64(view.fleet_writes)
	c.FleetPurgesReadAt = timeOf(view.fleet_purges_read_at)
	c.FetchDurations = fetchDurationsOf(view)
	return c
}
