package native

// #include "cached_http.h"
import "C"

import "fmt"

// Status is the result of a call: success, an answer of a lookup, or an error.
type Status uint32

// The numbers are the header's own.
const (
	StatusOK Status = C.CACHED_HTTP_STATUS_OK

	// Answers of a lookup.

	StatusHit         Status = C.CACHED_HTTP_STATUS_HIT
	StatusStale       Status = C.CACHED_HTTP_STATUS_STALE
	StatusNegative    Status = C.CACHED_HTTP_STATUS_NEGATIVE
	StatusPending     Status = C.CACHED_HTTP_STATUS_PENDING
	StatusMiss        Status = C.CACHED_HTTP_STATUS_MISS
	StatusInvalidName Status = C.CACHED_HTTP_STATUS_INVALID_NAME
	StatusBackedOff   Status = C.CACHED_HTTP_STATUS_BACKED_OFF
	StatusOverloaded  Status = C.CACHED_HTTP_STATUS_OVERLOADED
	StatusFailed      Status = C.CACHED_HTTP_STATUS_FAILED
	// StatusUnsupportedKeyType is a certificate that there is, but this client can't use.
	StatusUnsupportedKeyType Status = C.CACHED_HTTP_STATUS_UNSUPPORTED_KEY_TYPE

	// Errors.

	StatusClosed            Status = C.CACHED_HTTP_STATUS_CLOSED
	StatusInvalidArgument   Status = C.CACHED_HTTP_STATUS_INVALID_ARGUMENT
	StatusPanic             Status = C.CACHED_HTTP_STATUS_PANIC
	StatusGone              Status = C.CACHED_HTTP_STATUS_GONE
	StatusSigningRejected   Status = C.CACHED_HTTP_STATUS_SIGNING_REJECTED
	StatusSettingsRejected  Status = C.CACHED_HTTP_STATUS_SETTINGS_REJECTED
	StatusDirectoryRejected Status = C.CACHED_HTTP_STATUS_DIRECTORY_REJECTED
	StatusOutOfDescriptors  Status = C.CACHED_HTTP_STATUS_OUT_OF_DESCRIPTORS
)

var statusTexts = map[Status]string{
	StatusOK:          "done",
	StatusHit:         "a certificate is known",
	StatusStale:       "a certificate is known and being refreshed",
	StatusNegative:    "the backend has no certificate for this name",
	StatusPending:     "a fetch is under way",
	StatusMiss:        "nothing is known about this name",
	StatusInvalidName: "not a server name that anybody can own",
	StatusBackedOff:   "the backend failed lately and is not asked again yet",
	StatusOverloaded: "too many names wait for the backend; " +
		"if it can take more requests at once, raise max_concurrent_fetches",
	StatusUnsupportedKeyType: "the certificate is of a kind that this client can't use (ECDSA or Ed25519)",
	StatusFailed:             "the certificate could not be fetched",
	StatusClosed:             "the certificate cache is closed",
	StatusInvalidArgument:    "the certificate cache was called with an invalid argument (a bug, please report it)",
	StatusPanic:              "the certificate cache has panicked (a bug, please report it)",
	StatusGone:               "the certificate has left the cache",
	StatusSigningRejected:    "the key can't make this signature",
	StatusSettingsRejected:   "the settings can't be used",
	StatusDirectoryRejected:  "the cache directory can't be used",
	StatusOutOfDescriptors:   "the process may open no more files; raise its limit",
}

func (s Status) String() string {
	if text, known := statusTexts[s]; known {
		return text
	}
	return fmt.Sprintf("unknown status %d of the certificate cache", uint32(s))
}

// Error is a call that failed. Compare its Status; Message is the reason where there is one.
type Error struct {
	Status  Status
	Message string
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Status.String()
	}
	if e.Status == StatusBackedOff {
		return "not asked again yet; the last answer was: " + e.Message
	}
	return e.Message
}

// Is makes errors.Is compare by status: errors.Is(err, native.ErrGone).
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Status == e.Status
}

// The errors that callers tell from others.
var (
	ErrClosed = &Error{Status: StatusClosed}
	ErrGone   = &Error{Status: StatusGone}
)
