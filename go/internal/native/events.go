package native

// #include "cached_http.h"
import "C"

import "errors"

// EventKind says which fields of an [Event] matter.
type EventKind uint32

// The numbers are the header's own.
const (
	// EventCandidate: a bundle passed the engine's checks. Entry is to be confirmed or rejected, once.
	EventCandidate EventKind = C.CACHED_HTTP_EVENT_CANDIDATE
	// EventFinished: the fetch of ServerName that Tokens waited for (none, if it was a refresh) ended with
	// Status: StatusHit, StatusNegative, StatusUnsupportedKeyType, StatusOverloaded, or StatusFailed or StatusBackedOff with the reason in
	// Text. Entry is the candidate that was confirmed, if there was one, be it of use to the client or not.
	EventFinished EventKind = C.CACHED_HTTP_EVENT_FINISHED
	// EventRetired: Entry left the engine's memory. Drop what was built from it.
	EventRetired EventKind = C.CACHED_HTTP_EVENT_RETIRED
	// EventLog: Text is a JSON object with a "message", Level says how urgent it is.
	EventLog EventKind = C.CACHED_HTTP_EVENT_LOG
	// EventAnswered: the operation of the one token in Tokens has ended. Text is the answer if Status is StatusOK, and says
	// why not otherwise.
	EventAnswered EventKind = C.CACHED_HTTP_EVENT_ANSWERED
	// EventStorage: the fleet's storage is to carry out Operation on the key in Text, with Value if it is StorageStore. See
	// AnswerStorage.
	EventStorage EventKind = C.CACHED_HTTP_EVENT_STORAGE
)

// LogLevel is how urgent an EventLog is.
type LogLevel uint32

// Any other level is to be taken for an error.
const (
	LevelDebug LogLevel = C.CACHED_HTTP_LEVEL_DEBUG
	LevelInfo  LogLevel = C.CACHED_HTTP_LEVEL_INFO
	LevelWarn  LogLevel = C.CACHED_HTTP_LEVEL_WARN
	LevelError LogLevel = C.CACHED_HTTP_LEVEL_ERROR
)

// Event is something the engine tells its host. It holds no memory of the engine's.
type Event struct {
	Kind   EventKind
	Status Status
	Level  LogLevel
	Entry  EntryID
	Text   string
	Tokens []uint64

	// Of EventFinished.
	ServerName   string
	AskedBackend bool
	NotModified  bool // the backend said that what is stored is right

	// Of EventStorage.
	Request   uint64
	Operation StorageOperation
	Value     []byte // sealed
}

// eventBatch is how many events one call takes.
const eventBatch = 64

// NextEvents waits until there are events and returns them, oldest first; ErrClosed once the engine is closed
// and its pending writes are made. It has one caller, who calls until ErrClosed. The slice is valid until the
// next call.
func (e *Engine) NextEvents() ([]Event, error) {
	for {
		if err := e.takeEvents(); err != nil {
			if errors.Is(err, ErrClosed) {
				_ = e.ready.Close()
			}
			return nil, err
		}
		if len(e.events) > 0 {
			return e.events, nil
		}
		// What is read says nothing but "look again".
		var news [64]byte
		if _, err := e.ready.Read(news[:]); err != nil {
			return nil, err
		}
	}
}

// takeEvents moves what is there to engine.events; it doesn't wait.
func (e *Engine) takeEvents() error {
	var count C.size_t
	taken := &e.taken
	status := C.cached_http_next_events(e.handle, &taken[0], eventBatch, &count)
	if Status(status) != StatusOK {
		return &Error{Status: Status(status)}
	}
	e.events = e.events[:0]
	for index := range taken[:min(int(count), eventBatch)] {
		e.events = append(e.events, takeEvent(taken[index]))
		taken[index] = C.cached_http_event{}
	}
	return nil
}

func takeEvent(event C.cached_http_event) Event {
	return Event{
		Kind:   EventKind(event.kind),
		Status: Status(event.status),
		Level:  LogLevel(event.level),
		Entry:  EntryID(event.entry),
		Text:   takeText(event.text),
		Tokens: takeTokens(event.tokens),

		ServerName:   takeText(event.server_name),
		AskedBackend: event.asked_backend != 0,
		NotModified:  event.not_modified != 0,

		Request:   uint64(event.request),
		Operation: StorageOperation(event.operation),
		Value:     takeBytes(event.value),
	}
}
