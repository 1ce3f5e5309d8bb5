package faultstorage

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Fault is what goes wrong with operations on some keys.
type Fault struct {
	// Operations are load, store and delete; all of them if there are none.
	Operations []string `json:"operations"`
	// Key is a piece of the keys that it is about; empty for all.
	Key string `json:"key"`
	// Kind says what happens. Of every operation: delay, hang (until the faults change, whatever the context says), error,
	// panic. Of a load, which then finds something else than what lies there: truncate, flip (one bit), swap (the value
	// of the key With), replay (the first value that the key ever had), missing, huge.
	Kind string `json:"kind"`
	// Milliseconds is how long a delay takes.
	Milliseconds int `json:"milliseconds"`
	// With is the other key of a swap, as a whole.
	With string `json:"with"`
}

// faults are those of one moment; hung operations go on when they end.
type faults struct {
	list  []Fault
	ended chan struct{}
}

// errPlanted is the error that a fault of this kind brings.
var errPlanted = errors.New("the storage fails, as the test wants")

func (f *faults) of(operation, key string) []Fault {
	return slices.DeleteFunc(slices.Clone(f.list), func(fault Fault) bool {
		return len(fault.Operations) > 0 && !slices.Contains(fault.Operations, operation) || !strings.Contains(key, fault.Key)
	})
}

// before does what can go wrong with any operation.
func (f *faults) before(operation, key string) error {
	for _, fault := range f.of(operation, key) {
		switch fault.Kind {
		case "delay":
			time.Sleep(time.Duration(fault.Milliseconds) * time.Millisecond)
		case "hang":
			<-f.ended
		case "error":
			return errPlanted
		case "panic":
			panic(errPlanted)
		}
	}
	return nil
}

// load reads a value, or something else in its place.
func (f *faults) load(s *Storage, key string) ([]byte, error) {
	if err := f.before("load", key); err != nil {
		return nil, err
	}
	value, err := s.read(key)
	for _, fault := range f.of("load", key) {
		switch fault.Kind {
		case "truncate":
			value = value[:len(value)/2]
		case "flip":
			if len(value) > 0 {
				value[len(value)*3/4] ^= 4
			}
		case "swap":
			value, err = s.read(fault.With)
		case "replay":
			value, err = s.first(key)
		case "missing":
			value, err = nil, fs.ErrNotExist
		case "huge":
			value, err = append(value, bytes.Repeat([]byte("x"), 4<<20)...), nil
		}
	}
	return value, err
}

// first is the oldest value that a key has had.
func (s *Storage) first(key string) ([]byte, error) {
	folder := filepath.Join(s.Root+".history", filepath.FromSlash(key))
	entries, err := os.ReadDir(folder) // sorted by name, and so by time
	if err != nil || len(entries) == 0 {
		return nil, fs.ErrNotExist
	}
	return os.ReadFile(filepath.Join(folder, entries[0].Name()))
}
