package command

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// maxName is the longest line that Caddy takes.
const maxName = 1 << 10

// nameReader is a list of names, one a line, without what Caddy would skip: so both count the same. What is wrong with
// the list ends it, and is no reason to leave out the names before. The request's goroutine reads, others may ask how
// far it is.
type nameReader struct {
	ctx   context.Context
	lines chan []byte // names, each with its newline
	rest  []byte      // of one that did not fit

	names   atomic.Int64 // that were read
	ended   atomic.Bool
	problem error // of the list, to be read once it has ended
}

// newNameReader reads ahead a little. It waits for the source in a goroutine of its own: a pipe in which nothing comes
// must not hold up the end, which is also the process's.
func newNameReader(ctx context.Context, source io.Reader) *nameReader {
	r := &nameReader{ctx: ctx, lines: make(chan []byte, 256)}
	go r.scan(source)
	return r
}

// Read waits for one name, and takes what others are there.
func (r *nameReader) Read(into []byte) (length int, err error) {
	for length < len(into) {
		if len(r.rest) > 0 {
			copied := copy(into[length:], r.rest)
			r.rest, length = r.rest[copied:], length+copied
			continue
		}
		if length > 0 && len(r.lines) == 0 {
			return length, nil
		}
		select {
		case name, more := <-r.lines:
			if !more {
				r.ended.Store(true)
				return length, io.EOF
			}
			r.rest = name
			r.names.Add(1)
		case <-r.ctx.Done():
			return length, r.ctx.Err()
		}
	}
	return length, nil
}

func (r *nameReader) scan(source io.Reader) {
	defer close(r.lines)
	lines := bufio.NewScanner(source)
	longest := maxName + len("\r\n")
	lines.Buffer(make([]byte, 0, longest), longest)
	number := 1
	for ; lines.Scan(); number++ {
		line := lines.Bytes()
		if number == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff")) // from editors on Windows
		}
		if name := bytes.TrimSpace(line); len(name) > 0 && name[0] != '#' {
			select {
			case r.lines <- append(bytes.Clone(name), '\n'):
			case <-r.ctx.Done():
				return
			}
		}
	}
	r.problem = lines.Err()
	if errors.Is(r.problem, bufio.ErrTooLong) {
		r.problem = fmt.Errorf("line %d is longer than %d bytes: it must be one name", number, maxName)
	}
}
