package native

// #cgo noescape fetch_cached_cert
// #cgo nocallback fetch_cached_cert
// #cgo noescape cached_http_key_sign
// #cgo nocallback cached_http_key_sign
// #include "cached_http.h"
import "C"

import (
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// abiVersion refers to a symbol with the ABI's version in its name, so that an archive of another version does
// not link.
var abiVersion = unsafe.Pointer(C.cached_http_abi_5) //nolint:unconvert // cgo gives another type; its initialisation is the use

// archiveDigest is set by a file that make lib generates, archive_digest_*.go.
var archiveDigest string

// Version is the release that the header is of.
const Version = C.CACHED_HTTP_VERSION

// ArchiveDigest is the SHA-256 of the archive this binary was linked with, in hexadecimal; for the log.
func ArchiveDigest() string { return archiveDigest }

// EntryID names one immutable generation of an entry. It is not a handle: there is nothing to close.
type EntryID uint64

// HelloFlags is what a client can do, as far as it decides which certificate it gets.
type HelloFlags uint32

// The numbers are the header's own.
const (
	HelloECDSA   HelloFlags = C.CACHED_HTTP_HELLO_ECDSA
	HelloEd25519 HelloFlags = C.CACHED_HTTP_HELLO_ED25519
	// Peek: another question about a handshake that has asked already. It is not counted, and is answered for a moment by
	// a 204 that must not be stored.
	Peek HelloFlags = C.CACHED_HTTP_LOOKUP_PEEK
)

// Engine is a store of certificates and keys with its workers.
type Engine struct {
	handle C.cached_http_engine
	closed atomic.Bool

	// ready is readable when there are events again, see NextEvents.
	ready *os.File

	// Both belong to the one caller of NextEvents, and are here so that a batch allocates no space for events.
	taken  [eventBatch]C.cached_http_event
	events []Event
}

// OpenEngine opens an engine by its settings, a JSON document that cached_http.h describes. The error's text
// is for the operator: a directory that can't be used, for one.
func OpenEngine(settings []byte) (*Engine, error) {
	engine := new(Engine)
	var message C.cached_http_buffer
	data, length := bytesView(settings)
	var descriptor C.int32_t
	status := C.cached_http_engine_open(data, length, &engine.handle, &descriptor, &message)
	if err := outcome(status, message); err != nil {
		return nil, err
	}
	// Go's poller takes what does not block; if it can't, reading it costs a thread and is right all the same.
	_ = syscall.SetNonblock(int(descriptor), true)
	engine.ready = os.NewFile(uintptr(descriptor), "events of the certificate cache")
	return engine, nil
}

// Resize applies the limits of newer settings; backend and directory stay as they are.
func (e *Engine) Resize(settings []byte) error {
	var message C.cached_http_buffer
	data, length := bytesView(settings)
	return outcome(C.cached_http_engine_resize(e.handle, data, length, &message), message)
}

// Close ends the engine and returns at once; fetches under way are cut. NextEvents goes on until pending
// writes are made. Closing again does nothing.
func (e *Engine) Close() error {
	if e.closed.Swap(true) {
		return nil
	}
	return asError(C.cached_http_engine_close(e.handle))
}

// ConfirmCandidate accepts a candidate: it is kept, and an EventFinished follows.
func (e *Engine) ConfirmCandidate(entry EntryID) error {
	return asError(C.cached_http_candidate_confirm(e.handle, C.cached_http_entry_id(entry)))
}

// RejectCandidate rejects a candidate; reason goes into the error of whoever waits for it.
func (e *Engine) RejectCandidate(entry EntryID, reason string) error {
	data, length := textView(reason)
	return asError(C.cached_http_candidate_reject(e.handle, C.cached_http_entry_id(entry), data, length))
}

// OpenEntry opens an entry that is a candidate or in memory: a key, to be closed, and the chain as DER, leaf
// first. ErrGone if it has left memory.
func (e *Engine) OpenEntry(entry EntryID) (*Key, [][]byte, error) {
	key := new(Key)
	var framed C.cached_http_buffer
	status := C.cached_http_entry_open(e.handle, C.cached_http_entry_id(entry), &key.handle, &framed)
	if err := asError(status); err != nil {
		return nil, nil, err
	}
	chain, err := splitChain(takeBytes(framed))
	if err != nil {
		_ = key.Close()
		return nil, nil, err
	}
	return key, chain, nil
}

// OpenLookupConfig makes a config, whose settings (a JSON document that cached_http.h describes) apply to the
// lookups made through it.
func (e *Engine) OpenLookupConfig(settings []byte) (*LookupConfig, error) {
	config := new(LookupConfig)
	var message C.cached_http_buffer
	data, length := bytesView(settings)
	status := C.cached_http_lookup_config_open(e.handle, data, length, &config.handle, &message)
	if err := outcome(status, message); err != nil {
		return nil, err
	}
	runtime.AddCleanup(config, closeLookupConfig, config.handle)
	return config, nil
}

func closeLookupConfig(handle C.cached_http_lookup_config) {
	// Closed already, perhaps: a handle is never reused, so that is harmless.
	_ = C.cached_http_lookup_config_close(handle)
}

// LookupConfig is one set of settings over an engine. It closes itself once nothing refers to it.
type LookupConfig struct {
	handle C.cached_http_lookup_config
	closed atomic.Bool
}

// Answer is what a lookup found. Entry is set for StatusHit and StatusStale, Reason for StatusInvalidName,
// StatusBackedOff and StatusFailed.
type Answer struct {
	Status Status
	Entry  EntryID
	Reason string
}

// Lookup looks up the certificate for a server name as the client sent it. It never waits and does no I/O.
// With token 0 a miss starts nothing; another token joins, on a miss, the name's fetch, for which query holds further
// query parameters, and is told by one EventFinished.
func (c *LookupConfig) Lookup(serverName string, flags HelloFlags, query string, token uint64) Answer {
	var entry C.cached_http_entry_id
	var message C.cached_http_buffer
	name, nameLength := textView(serverName)
	parameters, parametersLength := textView(query)
	status := Status(C.fetch_cached_cert(c.handle, name, nameLength, C.uint32_t(flags),
		parameters, parametersLength, C.uint64_t(token), &entry, &message))
	runtime.KeepAlive(c)
	answer := Answer{Status: status, Entry: EntryID(entry)}
	if message.data != nil {
		answer.Reason = takeText(message)
	}
	return answer
}

// Close ends the config; fetches that its lookups started go on. Closing again does nothing.
func (c *LookupConfig) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	return asError(C.cached_http_lookup_config_close(c.handle))
}

// Key signs with a private key that stays on the other side. It works until it is closed, whatever becomes of
// its entry and engine.
type Key struct {
	handle C.cached_http_key
	closed atomic.Bool
}

// maxSignatureLength is the length of an RSA-4096 signature, the longest there is.
const maxSignatureLength = 512

// Sign signs input, a message or its digest, by a TLS SignatureScheme code point (RFC 8446 4.2.3).
func (k *Key) Sign(scheme uint16, isDigest bool, input []byte) ([]byte, error) {
	var signature [maxSignatureLength]byte
	var length C.size_t
	var digest C.uint32_t
	if isDigest {
		digest = 1
	}
	data, dataLength := bytesView(input)
	status := C.cached_http_key_sign(k.handle, C.uint16_t(scheme), digest, data, dataLength,
		(*C.uint8_t)(unsafe.Pointer(&signature[0])), maxSignatureLength, &length)
	if err := asError(status); err != nil {
		return nil, err
	}
	if length > maxSignatureLength {
		return nil, &Error{Status: StatusPanic}
	}
	return append([]byte(nil), signature[:length]...), nil
}

// Close gives the key back; a signature under way is finished. Closing again does nothing.
func (k *Key) Close() error {
	if k.closed.Swap(true) {
		return nil
	}
	return asError(C.cached_http_key_close(k.handle))
}

// LiveHandles is how many engines, lookup configs and keys are open in this process: 0 where nothing leaks.
func LiveHandles() uint64 {
	return uint64(C.cached_http_live_handles())
}

func asError(status C.cached_http_status) error {
	if Status(status) == StatusOK {
		return nil
	}
	return &Error{Status: Status(status)}
}

func outcome(status C.cached_http_status, message C.cached_http_buffer) error {
	reason := takeText(message)
	if Status(status) == StatusOK {
		return nil
	}
	return &Error{Status: Status(status), Message: reason}
}
