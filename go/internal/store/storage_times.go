package store

import (
	"maps"
	"sync"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// StorageCall is a kind of operation, and how it has ended.
type StorageCall struct {
	Operation string // load, store or delete
	Result    string // found, missing, done or failed
}

// StorageTimes are how long operations took.
type StorageTimes struct {
	Count  uint64
	Total  time.Duration
	within [len(native.FetchTimeBounds)]uint64
}

// Buckets is how many took up to each bound, in seconds.
func (t StorageTimes) Buckets() map[float64]uint64 {
	buckets := make(map[float64]uint64, len(t.within))
	for index, bound := range native.FetchTimeBounds {
		buckets[bound] = t.within[index]
	}
	return buckets
}

// Plus adds another store's.
func (t StorageTimes) Plus(other StorageTimes) StorageTimes {
	t.Count += other.Count
	t.Total += other.Total
	for index, count := range other.within {
		t.within[index] += count
	}
	return t
}

// storageTimes is safe for concurrent use.
type storageTimes struct {
	mutex sync.Mutex
	calls map[StorageCall]StorageTimes
}

var (
	operationNames = map[native.StorageOperation]string{
		native.StorageLoad: "load", native.StorageStore: "store", native.StorageDelete: "delete",
	}
	resultNames = map[native.StorageAnswer]string{
		native.StorageFound: "found", native.StorageMissing: "missing", native.StorageDone: "done", native.StorageFailed: "failed",
	}
)

func (t *storageTimes) record(operation native.StorageOperation, answer native.StorageAnswer, took time.Duration) {
	call := StorageCall{operationNames[operation], resultNames[answer]}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.calls == nil {
		t.calls = make(map[StorageCall]StorageTimes)
	}
	times := t.calls[call]
	times.Count++
	times.Total += took
	for index, bound := range native.FetchTimeBounds {
		if took.Seconds() <= bound {
			times.within[index]++
		}
	}
	t.calls[call] = times
}

// StorageTimes are how long operations of the fleet's storage took.
func (s *Store) StorageTimes() map[StorageCall]StorageTimes {
	s.storageTimes.mutex.Lock()
	defer s.storageTimes.mutex.Unlock()
	return maps.Clone(s.storageTimes.calls)
}

// IsDistributed tells whether it is part of a fleet.
func (s *Store) IsDistributed() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.settings.Distributed != nil
}
