package native

// #include "cached_http.h"
import "C"

import (
	"time"
	"unsafe"
)

// FetchDurations are how long requests to the backend took.
type FetchDurations struct {
	// FetchTime is all of them together.
	FetchTime time.Duration
	// FetchTimes is how many took up to each of FetchTimeBounds, not summed up, and longer.
	FetchTimes [C.CACHED_HTTP_FETCH_TIME_BUCKETS]uint64
}

// FetchTimeBounds are the upper bounds of FetchTimes, in seconds.
var FetchTimeBounds = fetchTimeBounds()

func fetchTimeBounds() (bounds [C.CACHED_HTTP_FETCH_TIME_BOUNDS]float64) {
	for index, milliseconds := range C.cached_http_fetch_time_bounds_ms {
		bounds[index] = float64(milliseconds) / 1000
	}
	return bounds
}

// Counters reads the engine's totals and sizes.
func (engine *Engine) Counters() (Counters, error) {
	var view C.cached_http_counters
	view.size = C.size_t(unsafe.Sizeof(view))
	if err := asError(C.cached_http_engine_counters(engine.handle, &view)); err != nil {
		return Counters{}, err
	}
	return countersOf(&view), nil
}

// timeOf is a time that the other side has as milliseconds.
func timeOf(milliseconds C.uint64_t) time.Time {
	if milliseconds == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(milliseconds)) // #nosec G115 -- 292 million years
}

// earlier is the first of two times of which each may be missing.
func earlier(one, other time.Time) time.Time {
	if one.IsZero() || (!other.IsZero() && other.Before(one)) {
		return other
	}
	return one
}

func fetchDurationsOf(view *C.cached_http_counters) FetchDurations {
	durations := FetchDurations{FetchTime: time.Duration(view.fetch_time_us) * time.Microsecond}
	for bucket := range durations.FetchTimes {
		durations.FetchTimes[bucket] = uint64(view.fetch_times[bucket])
	}
	return durations
}

func (d FetchDurations) plus(other FetchDurations) FetchDurations {
	d.FetchTime += other.FetchTime
	for bucket, count := range other.FetchTimes {
		d.FetchTimes[bucket] += count
	}
	return d
}
