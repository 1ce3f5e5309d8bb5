package e2e

import (
	"sync/atomic"
	"time"
)

// A machine that other programs share may stand still for seconds. What is said of times here is said of Caddy: they are
// without those in which nobody ran.

const tick = 5 * time.Millisecond

var (
	stoodStill atomic.Int64 // since the suite began
	lastTick   atomic.Int64
)

// watchTheMachine notes by how much its own ticks are late.
func watchTheMachine() {
	begun := time.Now()
	lastTick.Store(0)
	go func() {
		for {
			time.Sleep(tick)
			now := time.Since(begun)
			stoodStill.Add(late(now))
			lastTick.Store(int64(now))
		}
	}()
	sinceWatched = func() time.Duration { return time.Since(begun) }
}

var sinceWatched func() time.Duration

// late is by how much a tick is, or would be now. A few milliseconds are usual.
func late(now time.Duration) int64 {
	if late := int64(now) - lastTick.Load() - int64(tick); late > int64(4*tick) {
		return late
	}
	return 0
}

// standstill is how long the machine has stood still so far.
func standstill() time.Duration {
	return time.Duration(stoodStill.Load() + late(sinceWatched()))
}

// stopwatch measures how long something takes, without standstills.
type stopwatch struct {
	begin time.Time
	still time.Duration
}

func startWatch() stopwatch { return stopwatch{time.Now(), standstill()} }

func (w stopwatch) took() time.Duration {
	return max(0, time.Since(w.begin)-max(0, standstill()-w.still))
}
