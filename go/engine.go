package cachedhttp

import (
	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// engine is what this package needs of a native engine. Tests have one of their own.
type engine interface {
	Resize(settings []byte) error
	OpenLookupConfig(settings []byte) (instance, error)
	OpenEntry(entry native.EntryID) (key, [][]byte, error)
	NextEvents() ([]native.Event, error)
	ConfirmCandidate(entry native.EntryID) error
	RejectCandidate(entry native.EntryID, reason string) error
	Counters() (native.Counters, error)
	Close() error
}

// instance is one module instance's settings over an engine.
type instance interface {
	Lookup(serverName string, flags native.HelloFlags, query string, token uint64) native.Answer
	Close() error
}

// key signs with a private key that this process's Go side never sees.
type key interface {
	Sign(scheme uint16, isDigest bool, input []byte) ([]byte, error)
	Close() error
}

// openEngine is replaced by tests that need no native engine.
var openEngine = func(settings []byte) (engine, error) {
	opened, err := native.OpenEngine(settings)
	if err != nil {
		return nil, err
	}
	return nativeEngine{opened}, nil
}

// nativeEngine returns interfaces where the native engine returns its own types.
type nativeEngine struct {
	*native.Engine
}

func (engine nativeEngine) OpenLookupConfig(settings []byte) (instance, error) {
	opened, err := engine.Engine.OpenLookupConfig(settings)
	if err != nil {
		return nil, err
	}
	return opened, nil
}

func (engine nativeEngine) OpenEntry(entry native.EntryID) (key, [][]byte, error) {
	opened, chain, err := engine.Engine.OpenEntry(entry)
	if err != nil {
		return nil, nil, err
	}
	return opened, chain, nil
}
