package native

// #include "cached_http.h"
import "C"

import "unsafe"

// Counters are an engine's totals since it was opened, and its sizes now.
type Counters struct {
	// Entries, their bytes, and negatives in memory.
	Entries, EntryBytes, Negatives uint64
	// Lookups answered with a certificate, with "no such name", by a fetch, and refused for their name.
	Hits, NegativeHits, Misses, RefusedNames uint64
	// Requests to the origin, those without an answer, 204 answers, bundles refused.
	Fetches, FetchErrors, NotFound, RefusedBundles uint64
	// Misses answered from disk, entries written, and what the disk refused.
	DiskHits, DiskWrites, DiskErrors uint64
	// Entries that left memory, lookups turned away by a full queue.
	Evictions, Overloaded uint64
}

// Counters reads the engine's totals.
func (engine *Engine) Counters() (Counters, error) {
	var view C.cached_http_counters
	view.size = C.size_t(unsafe.Sizeof(view))
	if err := asError(C.cached_http_engine_counters(engine.handle, &view)); err != nil {
		return Counters{}, err
	}
	return Counters{
		Entries:        uint64(view.entries),
		EntryBytes:     uint64(view.entry_bytes),
		Negatives:      uint64(view.negatives),
		Hits:           uint64(view.hits),
		NegativeHits:   uint64(view.negative_hits),
		Misses:         uint64(view.misses),
		RefusedNames:   uint64(view.refused_names),
		Fetches:        uint64(view.fetches),
		FetchErrors:    uint64(view.fetch_errors),
		NotFound:       uint64(view.not_found),
		RefusedBundles: uint64(view.refused_bundles),
		DiskHits:       uint64(view.disk_hits),
		DiskWrites:     uint64(view.disk_writes),
		DiskErrors:     uint64(view.disk_errors),
		Evictions:      uint64(view.evictions),
		Overloaded:     uint64(view.overloaded),
	}, nil
}
