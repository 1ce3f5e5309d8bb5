package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

const (
	// untoldLifetime is how long a fleet remembers a purge of a name.
	untoldLifetime = 2 * time.Hour
	// maxUntold bounds those of one backend; beyond it one of all stands for the others.
	maxUntold = 256
	// followTimeout is a little more than a purge takes that the disk and the storage don't answer.
	followTimeout = 2 * time.Minute
)

// untold are purges that the storage of a fleet has not taken. The store that made them goes on telling them, but a reload may
// put another in its place, with another cache_dir for one, or have it leave the fleet and join it again: who joins would know
// nothing of them, and be given by the fleet what was purged here.
var untold untoldPurges

type untoldPurges struct {
	mutex  sync.Mutex
	purges []untoldPurge
}

type untoldPurge struct {
	backend string
	names   []string  // nil for all
	at      time.Time // when it was wished
}

// covers: who has this one told needs not tell the other.
func (p untoldPurge) covers(other untoldPurge) bool {
	return p.backend == other.backend && !other.at.After(p.at) &&
		(p.names == nil || other.names != nil && slices.Equal(p.names, other.names))
}

func (p untoldPurge) isOver() bool { return time.Since(p.at) > untoldLifetime }

// note is told what came of a purge. One that has failed is remembered if others were to follow it.
func (u *untoldPurges) note(by *Store, purge untoldPurge, err error) {
	failure, isFailure := errors.AsType[*native.Error](err)
	hasFailed := isFailure && failure.Status == native.StatusFailed
	if err != nil && !hasFailed || !by.IsDistributed() {
		return
	}
	u.mutex.Lock()
	defer u.mutex.Unlock()
	u.purges = slices.DeleteFunc(u.purges, func(other untoldPurge) bool { return other.isOver() || purge.covers(other) })
	if hasFailed {
		u.add(purge)
	}
}

func (u *untoldPurges) add(purge untoldPurge) {
	if slices.ContainsFunc(u.purges, func(other untoldPurge) bool { return other.covers(purge) }) {
		return // by one that came meanwhile
	}
	number := 0
	for _, other := range u.purges {
		if other.backend == purge.backend {
			number++
		}
	}
	if number >= maxUntold {
		purge.names, purge.at = nil, time.Now()
		u.purges = slices.DeleteFunc(u.purges, purge.covers)
	}
	u.purges = append(u.purges, purge)
}

// of are those of a backend's names.
func (u *untoldPurges) of(backend string) (purges []untoldPurge) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	for _, purge := range u.purges {
		if purge.backend == backend && !purge.isOver() {
			purges = append(purges, purge)
		}
	}
	return purges
}

// follow carries out, and tells, what could not be told before this store has joined the fleet.
func (s *Store) follow(purges []untoldPurge) {
	for _, purge := range purges {
		ctx, cancel := context.WithTimeout(context.Background(), followTimeout)
		_, _ = s.purge(ctx, purge)
		cancel()
	}
}
