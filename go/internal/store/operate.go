package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// What an operator can ask of a store and have done. The settings of its newest running lease apply. Nothing here counts
// as a handshake, and looking changes nothing.

// The answers that say that there is none.
var (
	ErrUnknownName = &native.Error{Status: native.StatusMiss, Message: "nothing is known of this name"}
	ErrNotRunning  = &native.Error{Status: native.StatusClosed}
)

// ErrBusy says that an operation was not begun. The engine's own word for it is about handshakes.
var ErrBusy = errors.New("too many operations are under way; try again")

// ID is the same for the same backend and cache_dir, also after a restart: 8 hexadecimal digits.
func (s *Store) ID() string {
	sum := sha256.Sum256([]byte(s.backend + "\n" + s.cacheDir))
	return hex.EncodeToString(sum[:4])
}

// CacheDir is empty for a store that keeps nothing on disk.
func (s *Store) CacheDir() string { return s.cacheDir }

// Limits returns the limits as they apply now.
func (s *Store) Limits() Limits {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return Limits{
		MaxMemory:            s.settings.MaxMemory,
		MaxNegativeMemory:    s.settings.MaxNegativeMemory,
		MaxDisk:              s.settings.MaxDisk,
		MaxConcurrentFetches: s.settings.MaxConcurrentFetches,
	}
}

// CheckName tells whether a name is one that somebody could own; ErrInvalidName, with a reason, if not.
func CheckName(name string) error { return native.CheckName(name) }

// Names returns a page of names.
func (s *Store) Names(ctx context.Context, query NamesQuery) (NamesPage, error) {
	var page namesPage
	err := s.operate(ctx, "names", namesOperation(query), &page)
	return page.public(), err
}

// Inspect tells all that is known of a name; ErrUnknownName if that is nothing, ErrInvalidName if nobody could own it.
func (s *Store) Inspect(ctx context.Context, name string) (NameFacts, error) {
	var facts nameFacts
	if err := s.operate(ctx, "inspect", map[string]string{"name": name}, &facts); err != nil {
		return NameFacts{}, err
	}
	return facts.public()
}

// Purge forgets all that is known of these names, in memory and on disk, for good: what is under way is not kept. It returns
// how many of them were known. ErrInvalidName, and nothing is done, if one is none that anybody could own.
func (s *Store) Purge(ctx context.Context, names []string) (purged int, err error) {
	if names == nil {
		names = []string{} // nil would be all
	}
	return s.purge(ctx, untoldPurge{s.backend, names, time.Now()})
}

// PurgeAll is Purge of all names.
func (s *Store) PurgeAll(ctx context.Context) (purged int, err error) {
	return s.purge(ctx, untoldPurge{s.backend, nil, time.Now()})
}

func (s *Store) purge(ctx context.Context, purge untoldPurge) (purged int, err error) {
	kind, arguments := "purge", any(map[string][]string{"names": purge.names})
	if purge.names == nil {
		kind, arguments = "purge_all", struct{}{}
	}
	var result purgeResult
	err = s.operate(ctx, kind, arguments, &result)
	untold.note(s, purge, err)
	return result.Purged, err
}

// Sync waits until all that was to be written to disk since then is there: after a restart nothing of it need be fetched
// again. An error if the disk has not kept something of it.
func (s *Store) Sync(ctx context.Context, since time.Time) error {
	return s.operate(ctx, "sync", map[string]int64{"of_last_ms": time.Since(since).Milliseconds() + 1}, new(struct{}))
}

// ShareText puts a text where the other nodes of the fleet find it, sealed, in place of the last one about the same. Without a
// fleet nothing is done.
func (s *Store) ShareText(ctx context.Context, about, text string) error {
	return s.operate(ctx, "share_text", map[string]string{"about": about, "text": text}, new(struct{}))
}

// SharedText returns the text that a node of the fleet has shared last, empty if none is known.
func (s *Store) SharedText(ctx context.Context, about string) (string, error) {
	var shared struct {
		Text string `json:"text"`
	}
	err := s.operate(ctx, "shared_text", map[string]string{"about": about}, &shared)
	return shared.Text, err
}

// operate has the engine carry out an operation and waits for its answer, as long as ctx allows. What is begun is ended all
// the same.
func (s *Store) operate(ctx context.Context, kind string, arguments, answer any) error {
	lease := s.runningLease()
	if lease == nil {
		return ErrNotRunning
	}
	operation, err := json.Marshal(map[string]any{kind: arguments})
	if err != nil {
		return err
	}
	token, done := s.waiters.register()
	defer s.waiters.forget(token)
	if err := lease.lookups.Operate(operation, token); err != nil {
		return orBusy(err)
	}
	select {
	case result := <-done:
		if result.answer.Status != native.StatusOK {
			return orBusy(&native.Error{Status: result.answer.Status, Message: result.answer.Reason})
		}
		if err := json.Unmarshal([]byte(result.answer.Reason), answer); err != nil {
			return fmt.Errorf("reading the answer of the certificate cache (a bug, please report it): %w", err)
		}
		return nil
	case <-s.closing:
		return ErrNotRunning
	case <-ctx.Done():
		return errors.Join(errNoAnswer, context.Cause(ctx))
	}
}

func orBusy(err error) error {
	if errors.Is(err, &native.Error{Status: native.StatusOverloaded}) {
		return ErrBusy
	}
	return err
}

var errNoAnswer = errors.New("the certificate cache has not answered; what was begun goes on")
