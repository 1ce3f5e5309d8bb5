package native

// #include "cached_http.h"
import "C"

import "runtime"

// AskMode is why the backend is asked for a name that no handshake wants.
type AskMode uint32

// The numbers are the header's own.
const (
	// AskRefresh: whatever is known, to know it now. What is held is served until a newer one is accepted.
	AskRefresh AskMode = C.CACHED_HTTP_ASK_REFRESH
	// AskPrefetch: to have what is not held and fresh.
	AskPrefetch AskMode = C.CACHED_HTTP_ASK_PREFETCH
)

// Operate carries out an operation, a JSON document that cached_http.h describes. It doesn't wait: nil means that one
// EventAnswered follows.
func (c *LookupConfig) Operate(operation []byte, token uint64) error {
	var message C.cached_http_buffer
	data, length := bytesView(operation)
	status := Status(C.cached_http_operate(c.handle, data, length, C.uint64_t(token), &message))
	runtime.KeepAlive(c)
	reason := takeText(message)
	if status == StatusPending {
		return nil
	}
	return &Error{Status: status, Message: reason}
}

// Ask asks the backend for a name as clients of this kind would. It doesn't wait: after StatusPending one EventFinished
// follows. The other answers are StatusHit and StatusUnsupportedKeyType (nobody needs to be asked), StatusMiss (there is
// nothing of this kind to refresh), StatusOverloaded (to AskPrefetch: too much waits to be written to disk; ask again in a
// moment), StatusInvalidName and StatusClosed.
func (c *LookupConfig) Ask(serverName string, flags HelloFlags, mode AskMode, token uint64) Answer {
	var message C.cached_http_buffer
	name, length := textView(serverName)
	status := Status(C.cached_http_ask(c.handle, name, length, C.uint32_t(flags), C.uint32_t(mode), C.uint64_t(token), &message))
	runtime.KeepAlive(c)
	return Answer{Status: status, Reason: takeText(message)}
}

// CheckName tells whether a name is one that operations take; an error with StatusInvalidName says why not.
func CheckName(name string) error {
	var message C.cached_http_buffer
	data, length := textView(name)
	return outcome(C.cached_http_check_name(data, length, &message), message)
}
