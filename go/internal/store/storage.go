package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// Storage is what nodes of a fleet share: of a certmagic.Storage that which all of them do well.
type Storage interface {
	Load(ctx context.Context, key string) ([]byte, error)
	Store(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
}

// maxStorageValue is a little more than the longest value that the engine takes.
const maxStorageValue = 256<<10 + 1

// patience is how many times the option timeout an operation may take before its context ends. The engine has given up long
// before. Modules that ignore their context lose nothing by it, others give back what they hold; those that spin on one that
// has ended do so in Lock and List, which are not called.
const patience = 4

var errNoStorage = errors.New("no configuration runs that has a storage")

// useStorage carries out what the engine wants of the storage, and says so when the storage has returned, however late
// that is. The engine bounds how many there are at once.
func (s *Store) useStorage(wanted native.Event) {
	begun := time.Now()
	answer, data := s.callStorage(wanted)
	s.storageTimes.record(wanted.Operation, answer, time.Since(begun))
	// An engine that is closed has no use for it.
	_ = s.engine.AnswerStorage(wanted.Request, answer, data)
}

func (s *Store) callStorage(wanted native.Event) (answer native.StorageAnswer, data []byte) {
	defer func() {
		if recover() != nil {
			answer, data = native.StorageFailed, []byte("the storage module has panicked")
		}
	}()
	storage, timeout := s.storage()
	if storage == nil {
		return storageFailure(errNoStorage)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience*timeout)
	defer cancel()
	switch wanted.Operation {
	case native.StorageLoad:
		value, err := storage.Load(ctx, wanted.Text)
		if errors.Is(err, fs.ErrNotExist) {
			return native.StorageMissing, nil
		}
		if err != nil {
			return storageFailure(err)
		}
		return native.StorageFound, value[:min(len(value), maxStorageValue)]
	case native.StorageStore:
		if err := storage.Store(ctx, wanted.Text, wanted.Value); err != nil {
			return storageFailure(err)
		}
	case native.StorageDelete:
		// Some say so, though nothing is wrong.
		if err := storage.Delete(ctx, wanted.Text); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return storageFailure(err)
		}
	default:
		return storageFailure(fmt.Errorf("operation %d is unknown", wanted.Operation))
	}
	return native.StorageDone, nil
}

// storage is that of the newest running lease that has one.
func (s *Store) storage() (Storage, time.Duration) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, lease := range slices.Backward(s.leases) {
		if lease.State() == Running && lease.settings.Distributed != nil {
			return lease.host.Storage(), time.Duration(lease.settings.Distributed.Timeout) * time.Millisecond
		}
	}
	return nil, 0
}

func storageFailure(err error) (native.StorageAnswer, []byte) {
	return native.StorageFailed, []byte(capped(withoutCredentials(err.Error())))
}

// credentials are the user and password in a URL, which modules may quote.
var credentials = regexp.MustCompile(`://[^/\s@]*@`)

func withoutCredentials(text string) string {
	return credentials.ReplaceAllString(text, "://")
}
