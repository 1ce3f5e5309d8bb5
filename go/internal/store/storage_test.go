package store_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
	"github.com/cached-http/caddy-cached-http/go/internal/store/storetest"
)

// storage does what a test says.
type storage struct {
	load   func(ctx context.Context, key string) ([]byte, error)
	store  func(key string, value []byte) error
	delete func(key string) error
}

func (s storage) Load(ctx context.Context, key string) ([]byte, error) { return s.load(ctx, key) }

func (s storage) Store(_ context.Context, key string, value []byte) error { return s.store(key, value) }
func (s storage) Delete(_ context.Context, key string) error              { return s.delete(key) }

// distributed is a running lease over a fake engine, whose storage this is.
func distributed(t *testing.T, of store.Storage) *storetest.Engine {
	t.Helper()
	lease, fake, host := newLease(t)
	host.storage = of
	lease.Distribute(&config.Fleet{Timeout: 1000})
	return fake
}

// answer is what the engine is told of an operation.
func answer(t *testing.T, fake *storetest.Engine, wanted native.Event) storetest.StorageAnswer {
	t.Helper()
	wanted.Kind, wanted.Request = native.EventStorage, 7
	before := len(fake.StorageAnswers())
	fake.Events <- wanted
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if answers := fake.StorageAnswers(); len(answers) > before {
			return answers[before]
		}
	}
	t.Fatal("no answer")
	return storetest.StorageAnswer{}
}

func TestWhatAStorageSaysIsToldToTheEngine(t *testing.T) {
	load := native.Event{Operation: native.StorageLoad, Text: "a/b"}
	found := func(value []byte, err error) storage {
		return storage{load: func(context.Context, string) ([]byte, error) { return value, err }}
	}
	huge := strings.Repeat("x", 1<<20)
	for name, test := range map[string]struct {
		storage storage
		wanted  native.Event
		answer  native.StorageAnswer
		data    string
	}{
		"a value":       {found([]byte("value"), nil), load, native.StorageFound, "value"},
		"a huge value":  {found([]byte(huge), nil), load, native.StorageFound, huge[:256<<10+1]},
		"nothing":       {found(nil, fs.ErrNotExist), load, native.StorageMissing, ""},
		"an error":      {found(nil, errors.New("dial redis://user:secret@db/0: refused")), load, native.StorageFailed, "dial redis://db/0: refused"},
		"a panic":       {storage{}, load, native.StorageFailed, "the storage module has panicked"},
		"an unknown op": {storage{}, native.Event{Operation: 99}, native.StorageFailed, "operation 99 is unknown"},
		"a store": {
			storage{store: func(key string, value []byte) error { return errors.New(key + "=" + string(value)) }},
			native.Event{Operation: native.StorageStore, Text: "a/b", Value: []byte("v")},
			native.StorageFailed, "a/b=v",
		},
		"a removal of nothing": {
			storage{delete: func(string) error { return fs.ErrNotExist }},
			native.Event{Operation: native.StorageDelete, Text: "a/b"},
			native.StorageDone, "",
		},
		"a removal that fails": {
			storage{delete: func(string) error { return errors.New("no") }},
			native.Event{Operation: native.StorageDelete, Text: "a/b"},
			native.StorageFailed, "no",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := answer(t, distributed(t, test.storage), test.wanted); got != (storetest.StorageAnswer{Request: 7, Answer: test.answer, Data: test.data}) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestAStorageThatHangsHoldsNobodyUp(t *testing.T) {
	released := make(chan struct{})
	fake := distributed(t, storage{
		load: func(ctx context.Context, key string) ([]byte, error) {
			if key == "hangs" {
				<-released
			}
			if _, ends := ctx.Deadline(); !ends {
				return nil, errors.New("a module may wait for ever")
			}
			return []byte(key), nil
		},
	})
	fake.Events <- native.Event{Kind: native.EventStorage, Operation: native.StorageLoad, Text: "hangs", Request: 1}
	got := answer(t, fake, native.Event{Operation: native.StorageLoad, Text: "other"})
	if got.Data != "other" {
		t.Errorf("%+v", got)
	}
	close(released)
}

func TestWithoutAConfigurationThereIsNoStorage(t *testing.T) {
	_, fake, _ := newLease(t)
	got := answer(t, fake, native.Event{Operation: native.StorageLoad, Text: "a"})
	if got.Answer != native.StorageFailed {
		t.Errorf("%+v", got)
	}
}
