package operate

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	maxLine = 1 << 10 // bytes
	// maxAhead is how many names are read ahead of their answers. Many clients read nothing before they have sent
	// everything: they can send as many, and what the connection holds.
	maxAhead = 100_000
)

func (s *service) prefetch(response http.ResponseWriter, request *http.Request) error {
	asked, err := parameters(request, "cache")
	if err != nil {
		return err
	}
	cache, err := s.choose(asked.Get("cache"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(request.Context())
	control := http.NewResponseController(response)
	if request.ProtoMajor == 1 {
		// It would wait for all names before the first answer; later versions don't. And net/http panics if a connection
		// on which both were done goes on to another request before the first one's body has been read.
		_ = control.EnableFullDuplex()
		response.Header().Set("Connection", "close")
	}
	reader := &nameReader{names: make(chan string, maxAhead), done: make(chan struct{})}
	go reader.read(ctx, request.Body, cancel)
	defer reader.stop(control)
	defer cancel(nil)
	failure := func() error {
		if reader.failure != nil {
			return reader.failure
		}
		return cache.Sync(ctx) // or what was fetched would be lost with a restart
	}
	return stream(response, request.WithContext(ctx), cache, reader.names, cache.Prefetch, failure)
}

// nameReader reads names, one a line.
type nameReader struct {
	names   chan string
	failure error // once names is closed: what is wrong with the line after the last one
	done    chan struct{}
}

// read ends with the text, with a line that is too long, or with the context, which it ends if the client is gone.
func (r *nameReader) read(ctx context.Context, text io.Reader, cancel context.CancelCauseFunc) {
	defer close(r.done)
	defer close(r.names)
	scanner := bufio.NewScanner(text)
	longest := maxLine + len("\r\n")
	scanner.Buffer(make([]byte, 0, longest), longest)
	number := 1
	for ; scanner.Scan(); number++ {
		name := strings.TrimSpace(scanner.Text())
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		select {
		case r.names <- name:
		case <-ctx.Done():
			return
		}
	}
	if err := scanner.Err(); errors.Is(err, bufio.ErrTooLong) {
		r.failure = newProblem(http.StatusBadRequest,
			"line %d is longer than %d bytes; send one name a line; the names before it were asked for", number, maxLine)
	} else if err != nil {
		cancel(newProblem(http.StatusBadRequest, "the names ended early: %v", err))
	}
}

// stop makes read end, if it still waits for the client, and waits for it: the body belongs to the server again when
// the request is done, which won't wait for the rest either.
func (r *nameReader) stop(control *http.ResponseController) {
	_ = control.SetReadDeadline(time.Now())
	<-r.done
}
