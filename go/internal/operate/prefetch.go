package operate

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	maxLine = 1 << 10 // bytes
	// maxLeftovers is how much is still read, and thrown away, of a body that the answer does not wait for.
	maxLeftovers = 16 << 20 // bytes
	// quiet is how long nothing must come for the body's sender to have noticed the answer's end.
	quiet = 200 * time.Millisecond
)

func (s *Service) prefetch(response http.ResponseWriter, request *http.Request) error {
	asked, err := parameters(request, "cache")
	if err != nil {
		return err
	}
	cache, err := s.choose(asked.Get("cache"))
	if err != nil {
		return err
	}
	begun := time.Now()
	ctx, cancel := context.WithCancelCause(request.Context())
	control := http.NewResponseController(response)
	if request.ProtoMajor == 1 {
		// It would wait for all names before the first answer; later versions don't. And net/http panics if a connection
		// on which both were done goes on to another request before the first one's body has been read.
		_ = control.EnableFullDuplex()
		response.Header().Set("Connection", "close")
	}
	names, end := newQueue(ctx)
	defer end()
	reader := &nameReader{body: request.Body, names: names, answered: make(chan struct{}), done: make(chan struct{})}
	go reader.read(cancel)
	isAnswered := false
	defer func() { reader.stop(control, isAnswered && request.ProtoMajor == 1) }()
	defer cancel(nil)

	slots := slotsOf(cache, "prefetch")
	stream(ctx, response, work{
		slots: slots, workers: cap(slots), next: names.pop, ask: cache.Prefetch,
		failure: func() error {
			if reader.failure != nil {
				return reader.failure
			}
			return cache.Sync(ctx, begun) // or what was fetched would be lost with a restart
		},
	})
	isAnswered = true
	return nil
}

// nameReader reads names, one a line.
type nameReader struct {
	body     io.Reader
	count    atomic.Int64 // bytes
	names    *queue
	failure  error         // once names is whole: what is wrong with the line after the last one
	answered chan struct{} // closed after the last line of the answer
	done     chan struct{}
}

// Read is the body's.
func (r *nameReader) Read(buffer []byte) (int, error) {
	read, err := r.body.Read(buffer)
	r.count.Add(int64(read))
	return read, err
}

// read ends with the text, with a line that is too long, or with the context, which it ends if the client is gone.
func (r *nameReader) read(cancel context.CancelCauseFunc) {
	defer close(r.done)
	r.readNames(cancel)
	r.names.complete()
	<-r.answered
	_, _ = io.CopyN(io.Discard, r, maxLeftovers)
}

func (r *nameReader) readNames(cancel context.CancelCauseFunc) {
	scanner := bufio.NewScanner(r)
	longest := maxLine + len("\r\n")
	scanner.Buffer(make([]byte, 0, longest), longest)
	number := 1
	for ; scanner.Scan(); number++ {
		name := bytes.TrimSpace(scanner.Bytes())
		if len(name) == 0 || name[0] == '#' {
			continue
		}
		if !r.names.push(string(name)) {
			return
		}
	}
	switch err := scanner.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		r.failure = newProblem(http.StatusBadRequest,
			"line %d is longer than %d bytes; send one name a line; the names before it were asked for", number, maxLine)
	case tooLarge(err) != nil:
		r.failure = tooLarge(err)
	case err != nil:
		// The reader's text may name addresses and limits that are not the client's concern.
		cancel(newProblem(http.StatusBadRequest, "the names ended early, in line %d: the body is broken, or was broken off", number))
	}
}

// stop makes read end, and waits for it: the body belongs to the server again when the request is done. A server that
// closes a connection on which something still comes resets it, and the client may lose the answer's end. So over
// HTTP/1 what comes is read until the client falls silent, but neither long nor much.
func (r *nameReader) stop(control *http.ResponseController, drains bool) {
	close(r.answered)
	for end := time.Now().Add(lastWords); drains && time.Now().Before(end); {
		before := r.count.Load()
		select {
		case <-r.done:
			return
		case <-time.After(quiet):
		}
		if r.count.Load() == before {
			break
		}
	}
	_ = control.SetReadDeadline(time.Now())
	<-r.done
}
