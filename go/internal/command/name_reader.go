package command

import (
	"bufio"
	"bytes"
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
	lines  *bufio.Scanner
	number int    // of the line
	rest   []byte // of a name that was read

	names   atomic.Int64
	ended   atomic.Bool
	problem error // of the list, to be read once it has ended
}

func newNameReader(source io.Reader) *nameReader {
	lines := bufio.NewScanner(source)
	longest := maxName + len("\r\n")
	lines.Buffer(make([]byte, 0, longest), longest)
	return &nameReader{lines: lines}
}

// Read waits for one name: the next one may be long in coming.
func (r *nameReader) Read(into []byte) (int, error) {
	if len(r.rest) == 0 && !r.next() {
		r.ended.Store(true)
		return 0, io.EOF
	}
	length := copy(into, r.rest)
	r.rest = r.rest[length:]
	return length, nil
}

func (r *nameReader) next() bool {
	for r.lines.Scan() {
		r.number++
		line := r.lines.Bytes()
		if r.number == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff")) // from editors on Windows
		}
		if name := bytes.TrimSpace(line); len(name) > 0 && name[0] != '#' {
			r.names.Add(1)
			r.rest = append(bytes.Clone(name), '\n')
			return true
		}
	}
	switch err := r.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		r.problem = fmt.Errorf("line %d is longer than %d bytes: it must be one name", r.number+1, maxName)
	case err != nil:
		r.problem = err
	}
	return false
}
