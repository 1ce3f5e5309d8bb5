package store

import (
	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// Engine is what this package needs of a native engine. Tests have one of their own.
type Engine interface {
	Resize(settings []byte) error
	OpenLookupConfig(settings []byte) (LookupConfig, error)
	OpenEntry(entry native.EntryID) (Key, [][]byte, error)
	NextEvents() ([]native.Event, error)
	ConfirmCandidate(entry native.EntryID) error
	RejectCandidate(entry native.EntryID, reason string) error
	Counters() (native.Counters, error)
	AnswerStorage(request uint64, answer native.StorageAnswer, data []byte) error
	Close() error
}

// LookupConfig is the settings of one lease over an engine.
type LookupConfig interface {
	Lookup(serverName string, flags native.HelloFlags, query string, token uint64) native.Answer
	Operate(operation []byte, token uint64) error
	Ask(serverName string, flags native.HelloFlags, mode native.AskMode, token uint64) native.Answer
}

// Key signs with a private key that this process's Go side never sees.
type Key interface {
	Sign(scheme uint16, isDigest bool, input []byte) ([]byte, error)
	Close() error
}

// OpenEngine is replaced by tests that need no native engine.
var OpenEngine = func(settings []byte) (Engine, error) {
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

func (e nativeEngine) OpenLookupConfig(settings []byte) (LookupConfig, error) {
	opened, err := e.Engine.OpenLookupConfig(settings)
	if err != nil {
		return nil, err
	}
	return opened, nil
}

func (e nativeEngine) OpenEntry(entry native.EntryID) (Key, [][]byte, error) {
	opened, chain, err := e.Engine.OpenEntry(entry)
	if err != nil {
		return nil, nil, err
	}
	return opened, chain, nil
}
