package operate

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// work is names to ask a cache for.
type work struct {
	slots   chan struct{}                                              // one for each name that is under way
	workers int                                                        // no more than there are slots
	next    func() (name string, more bool)                            // waits for a name; ends with the context
	ask     func(ctx context.Context, name string) store.RefreshResult // comes back soon after its context has ended
	failure func() error                                               // once all are done: why these are not all
}

// lastWords is how long a client has to take what is written when its request must end.
const lastWords = time.Second

// stream answers each name with a line of JSON as soon as it can. Where it is known too late for a status that something
// has failed, the last line has it, as a field "error".
func stream(ctx context.Context, response http.ResponseWriter, work work) {
	control := http.NewResponseController(response)
	// A server's limits for a whole request are made for pages: Caddy's admin API reads for ten seconds. Where a wrapper
	// of the response can't change them, they apply.
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Time{})
	// A client that takes nothing must not hold up the end.
	defer context.AfterFunc(ctx, func() { _ = control.SetWriteDeadline(time.Now().Add(lastWords)) })()

	lines := newLineWriter(response)
	results := work.begin(ctx)
	for result := range results {
		lines.write(result)
		if len(results) == 0 { // what has come at once is sent at once
			lines.flush()
		}
	}
	if ctx.Err() != nil {
		lines.end(context.Cause(ctx))
	} else {
		lines.end(work.failure())
	}
}

// begin asks for all names, as many at a time as there are slots, until the context ends.
func (w work) begin(ctx context.Context) <-chan store.RefreshResult {
	results := make(chan store.RefreshResult, w.workers)
	var workers sync.WaitGroup
	for range w.workers {
		workers.Go(func() {
			for name, more := w.next(); more && w.one(ctx, name, results); name, more = w.next() {
			}
		})
	}
	go func() {
		workers.Wait()
		close(results)
	}()
	return results
}

// one asks for a name, and tells whether to go on.
func (w work) one(ctx context.Context, name string, results chan<- store.RefreshResult) bool {
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	result := w.ask(ctx, name)
	<-w.slots
	if ctx.Err() != nil {
		return false // the result tells of that
	}
	select {
	case results <- result:
		return true
	case <-ctx.Done():
		return false
	}
}

// slotsOf has a place for each name of a cache that may be under way, whichever request asks, by whichever door. Refreshes
// have places of their own: somebody waits for them, and a prefetch may wait for a slow disk. Another share, after a
// reload, is another set: no request outlives its configuration.
func slotsOf(cache Cache, kind string) chan struct{} {
	share := max(1, cache.PrefetchShare())
	slots, _ := allSlots.LoadOrStore(slotsKey{cache.ID(), kind, share}, make(chan struct{}, share))
	return slots.(chan struct{})
}

type slotsKey struct {
	id, kind string
	share    int
}

var allSlots sync.Map // of channels

// lineWriter writes lines of JSON. A client that does not take them is gone: its connection, or over HTTP/3 its stream,
// would otherwise wait for it when the process is to exit.
type lineWriter struct {
	response http.ResponseWriter
	encoder  *json.Encoder
	begun    bool
}

func newLineWriter(response http.ResponseWriter) *lineWriter {
	encoder := json.NewEncoder(response)
	encoder.SetEscapeHTML(false)
	return &lineWriter{response: response, encoder: encoder}
}

func (w *lineWriter) write(line any) {
	w.begin()
	abortOn(w.encoder.Encode(line))
}

func (w *lineWriter) flush() {
	if err := http.NewResponseController(w.response).Flush(); !errors.Is(err, http.ErrNotSupported) {
		abortOn(err)
	}
}

func (w *lineWriter) begin() {
	if !w.begun {
		w.begun = true
		w.response.Header().Set("Content-Type", "application/x-ndjson")
		w.response.WriteHeader(http.StatusOK)
	}
}

// end tells of an error, by the status if there still is one to choose.
func (w *lineWriter) end(err error) {
	switch {
	case err == nil:
		w.begin()
	case w.begun:
		w.write(problemOf(err))
	default:
		writeProblem(w.response, problemOf(err))
	}
	w.flush()
}

// abortOn ends a request whose answer can't be sent.
func abortOn(err error) {
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}
