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
	// maxUntold bounds them; beyond it one of all stands for the others.
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
	names   []string // nil for all
	at      time.Time
}

// note remembers a purge that has failed, if others were to follow it.
func (u *untoldPurges) note(by *Store, names []string, err error) {
	failure, isFailure := errors.AsType[*native.Error](err)
	if !isFailure || failure.Status != native.StatusFailed || !by.IsDistributed() {
		return
	}
	u.mutex.Lock()
	defer u.mutex.Unlock()
	now := time.Now()
	u.purges = slices.DeleteFunc(u.purges, func(purge untoldPurge) bool { return now.Sub(purge.at) > untoldLifetime })
	isOurs := func(purge untoldPurge) bool { return purge.backend == by.backend }
	if names == nil || len(u.purges) >= maxUntold {
		names, u.purges = nil, slices.DeleteFunc(u.purges, isOurs)
	}
	u.purges = append(u.purges, untoldPurge{by.backend, names, now})
}

// of are those of a backend's names, the oldest first.
func (u *untoldPurges) of(backend string) (purges []untoldPurge) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	for _, purge := range u.purges {
		if purge.backend == backend && time.Since(purge.at) <= untoldLifetime {
			purges = append(purges, purge)
		}
	}
	return purges
}

// followUntold carries out, and tells, what could not be told before this store has joined the fleet.
func (s *Store) followUntold() {
	for _, purge := range untold.of(s.backend) {
		ctx, cancel := context.WithTimeout(context.Background(), followTimeout)
		if purge.names == nil {
			_, _ = s.PurgeAll(ctx)
		} else {
			_, _ = s.Purge(ctx, purge.names)
		}
		cancel()
	}
}
