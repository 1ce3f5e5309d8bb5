package command

import (
	"errors"
	"io"
	"sync/atomic"
)

// nameReader hands a list on as it is and counts the names in it as Caddy does: lines that are not empty and don't
// start with #. The request's goroutine reads; others may ask how far it is.
type nameReader struct {
	source io.Reader
	line   lineState

	names atomic.Int64
	ended atomic.Bool
	err   atomic.Pointer[error] // other than the end
}

// lineState is what is known of the line that is being read.
type lineState int

const (
	lineBegins lineState = iota
	lineCounts           // or is a comment: nothing in it matters any more
)

// Read hands on what there is.
func (r *nameReader) Read(into []byte) (int, error) {
	length, err := r.source.Read(into)
	r.names.Add(r.line.count(into[:length]))
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		r.ended.Store(true)
	default:
		r.err.Store(&err)
	}
	return length, err
}

// count is how many names begin in a piece of text.
func (l *lineState) count(text []byte) (names int64) {
	for _, character := range text {
		switch {
		case character == '\n':
			*l = lineBegins
		case *l == lineCounts, character == ' ', character == '\t', character == '\r':
		default:
			if character != '#' {
				names++
			}
			*l = lineCounts
		}
	}
	return names
}

// count is how many names were read.
func (r *nameReader) count() int64 { return r.names.Load() }

func (r *nameReader) problem() error {
	if err := r.err.Load(); err != nil {
		return *err
	}
	return nil
}
