package e2e

import (
	"sync/atomic"
	"time"
)

// A machine that other programs share may stand still for seconds. What is said of times here is said of Caddy: they are
// without those in which nobody ran.

const tick = 5 * time.Millisecond

var (
	watchBegan = time.Now()
	lastTick   atomic.Int64 // since then
	stoodStill atomic.Int64 // for so long, as ticks have told
)

// watchTheMachine notes for as long as the suite runs by how much its own ticks are late.
func watchTheMachine() {
	lastTick.Store(int64(time.Since(watchBegan)))
	go func() {
		for {
			time.Sleep(tick)
			now := time.Since(watchBegan)
			stoodStill.Add(int64(late(now)))
			lastTick.Store(int64(now))
		}
	}()
}

// late is by how much a tick is, or would be now. A few milliseconds are usual.
func late(now time.Duration) time.Duration {
	if late := now - time.Duration(lastTick.Load()) - tick; late > 4*tick {
		return late
	}
	return 0
}

// standstill is how long the machine has stood still so far.
func standstill() time.Duration {
	return time.Duration(stoodStill.Load()) + late(time.Since(watchBegan))
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
