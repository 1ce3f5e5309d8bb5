package native

// #include "cached_http.h"
import "C"

import (
	"time"
	"unsafe"
)

// Counters are an engine's totals since it was opened, and its sizes now.
type Counters struct {
	// Entries, their bytes, and negatives in memory.
	Entries, EntryBytes, Negatives uint64
	// Lookups answered with a certificate, with "no such name", by a fetch, and rejected for their name.
	Hits, NegativeHits, Misses, InvalidNames uint64
	// Requests to the backend, those without an answer, 204 answers, bundles rejected.
	Found, FetchErrors, NoCertificate, InvalidBundles uint64
	// Misses answered from disk, entries written, and what the disk rejected.
	DiskHits, DiskWrites, DiskErrors uint64
	// Entries that left memory, lookups turned away by a full queue.
	Evictions, Overloaded uint64
	// Lookups answered with a certificate past its lifetime, and turned away since the backend failed lately.
	StaleHits, BackedOff uint64
	// Requests for a newer certificate while the kept one is served, 304 answers.
	Refreshes, NotModified uint64
	// Names whose last fetch failed, as far as they are remembered.
	FailingNames uint64
	// Whether no name is asked for, since the backend failed for one after the other.
	BreakerIsOpen bool
	// How long requests to the backend took: all together, and how many up to each of FetchTimeBounds, and longer.
	FetchTime  time.Duration
	FetchTimes [len(FetchTimeBounds) + 1]uint64
}

// Plus adds another engine's.
func (counters Counters) Plus(other Counters) Counters {
	counters.Entries += other.Entries
	counters.EntryBytes += other.EntryBytes
	counters.Negatives += other.Negatives
	counters.Hits += other.Hits
	counters.NegativeHits += other.NegativeHits
	counters.Misses += other.Misses
	counters.InvalidNames += other.InvalidNames
	counters.Found += other.Found
	counters.FetchErrors += other.FetchErrors
	counters.NoCertificate += other.NoCertificate
	counters.InvalidBundles += other.InvalidBundles
	counters.DiskHits += other.DiskHits
	counters.DiskWrites += other.DiskWrites
	counters.DiskErrors += other.DiskErrors
	counters.Evictions += other.Evictions
	counters.Overloaded += other.Overloaded
	counters.StaleHits += other.StaleHits
	counters.BackedOff += other.BackedOff
	counters.Refreshes += other.Refreshes
	counters.NotModified += other.NotModified
	counters.FailingNames += other.FailingNames
	counters.FetchTime += other.FetchTime
	counters.BreakerIsOpen = counters.BreakerIsOpen || other.BreakerIsOpen
	for bucket, count := range other.FetchTimes {
		counters.FetchTimes[bucket] += count
	}
	return counters
}

// FetchTimeBounds are the upper bounds of Counters.FetchTimes, in seconds.
var FetchTimeBounds = [...]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// Counters reads the engine's totals.
func (engine *Engine) Counters() (Counters, error) {
	var view C.cached_http_counters
	view.size = C.size_t(unsafe.Sizeof(view))
	if err := asError(C.cached_http_engine_counters(engine.handle, &view)); err != nil {
		return Counters{}, err
	}
	counters := Counters{
		Entries:        uint64(view.entries),
		EntryBytes:     uint64(view.entry_bytes),
		Negatives:      uint64(view.negatives),
		Hits:           uint64(view.hits),
		NegativeHits:   uint64(view.negative_hits),
		Misses:         uint64(view.misses),
		InvalidNames:   uint64(view.invalid_names),
		Found:          uint64(view.found),
		FetchErrors:    uint64(view.fetch_errors),
		NoCertificate:  uint64(view.no_certificate),
		InvalidBundles: uint64(view.invalid_bundles),
		DiskHits:       uint64(view.disk_hits),
		DiskWrites:     uint64(view.disk_writes),
		DiskErrors:     uint64(view.disk_errors),
		Evictions:      uint64(view.evictions),
		Overloaded:     uint64(view.overloaded),
		StaleHits:      uint64(view.stale_hits),
		BackedOff:      uint64(view.backed_off),
		Refreshes:      uint64(view.refreshes),
		NotModified:    uint64(view.not_modified),
		FailingNames:   uint64(view.failing_names),
		BreakerIsOpen:  view.breaker_is_open != 0,
		FetchTime:      time.Duration(view.fetch_time_us) * time.Microsecond,
	}
	for bucket := range counters.FetchTimes {
		counters.FetchTimes[bucket] = uint64(view.fetch_times[bucket])
	}
	return counters, nil
}
