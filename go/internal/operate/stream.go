package operate

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// ask asks a cache for one name, and comes back soon after its context has ended.
type ask func(ctx context.Context, name string) store.RefreshResult

// lastWords is how long a client has to take what is written when its request must end.
const lastWords = time.Second

// stream answers each name with a line of JSON as soon as it can. failure is called when all that came are done, and
// says why these are not all. Where that is known too late for a status, the last line has it, as a field "error".
func stream(
	response http.ResponseWriter, request *http.Request, cache Cache, names <-chan string, ask ask, failure func() error,
) error {
	ctx := request.Context()
	control := http.NewResponseController(response)
	// A server's limits for a whole request are made for pages: Caddy's admin API reads for ten seconds. Where a wrapper
	// of the response can't change them, they apply.
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Time{})
	// A client that takes nothing must not hold up the end.
	defer context.AfterFunc(ctx, func() { _ = control.SetWriteDeadline(time.Now().Add(lastWords)) })()

	lines := newLineWriter(response)
	results := askAll(ctx, cache, names, ask)
	for result := range results {
		if err := lines.write(result); err != nil {
			return nil //nolint:nilerr // the client is gone, and there is nobody to tell
		}
		if len(results) == 0 { // what has come at once is sent at once
			_ = control.Flush()
		}
	}
	if ctx.Err() != nil {
		return lines.end(context.Cause(ctx))
	}
	return lines.end(failure())
}

// askAll asks for all names, a share of them at a time, until the context ends.
func askAll(ctx context.Context, cache Cache, names <-chan string, ask ask) <-chan store.RefreshResult {
	share := max(1, cache.PrefetchShare())
	slots := slotsOf(cache.ID(), share)
	results := make(chan store.RefreshResult, share)
	work := func(name string) (isOver bool) {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return true
		}
		result := ask(ctx, name)
		<-slots
		if ctx.Err() != nil {
			return true // the result tells of that
		}
		select {
		case results <- result:
			return false
		case <-ctx.Done():
			return true
		}
	}
	var workers sync.WaitGroup
	for range min(share, cap(names)) {
		workers.Go(func() {
			for {
				select {
				case name, more := <-names:
					if !more || work(name) {
						return
					}
				case <-ctx.Done():
					return
				}
			}
		})
	}
	go func() {
		workers.Wait()
		close(results)
	}()
	return results
}

// slotsOf has a place for each name of a cache that may be under way, whichever request asks, by whichever door. Another
// share, after a reload, is another set: no request outlives its configuration.
func slotsOf(id string, share int) chan struct{} {
	slots, _ := allSlots.LoadOrStore(slotsKey{id, share}, make(chan struct{}, share))
	return slots.(chan struct{})
}

type slotsKey struct {
	id    string
	share int
}

var allSlots sync.Map // of channels

// lineWriter writes lines of JSON.
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

func (w *lineWriter) write(line any) error {
	w.begin()
	return w.encoder.Encode(line)
}

func (w *lineWriter) begin() {
	if !w.begun {
		w.begun = true
		w.response.Header().Set("Content-Type", "application/x-ndjson")
		w.response.WriteHeader(http.StatusOK)
	}
}

// end returns an error that there still is a status for.
func (w *lineWriter) end(err error) error {
	if err == nil {
		w.begin()
		return nil
	}
	if !w.begun {
		return err
	}
	_ = w.write(problemOf(err))
	return nil
}
