package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// outcomes are in the order of the summary.
var outcomes = []struct{ outcome, text string }{
	{"found", "found"},
	{"not_modified", "unchanged"},
	{"fresh", "held already"},
	{"no_certificate", "without a certificate"},
	{"failed", "failed"},
}

// tally counts what came of names.
type tally struct {
	begun time.Time
	done  int64
	by    map[string]int64
}

func newTally() *tally { return &tally{begun: time.Now(), by: make(map[string]int64)} }

// String is the summary: 2,000 names in 3 s: 1,990 found, 10 failed.
func (t *tally) String() string {
	text := names(t.done) + " in " + span(time.Since(t.begun))
	var parts []string
	for _, known := range outcomes {
		if count := t.by[known.outcome]; count > 0 {
			parts = append(parts, comma(count)+" "+known.text)
		}
	}
	if len(parts) == 0 {
		return text
	}
	return text + ": " + strings.Join(parts, ", ")
}

// maxLine is more than a result takes.
const maxLine = 1 << 20

// results hands on one result after the other, as they come.
func (s *session) results(ctx context.Context, body io.Reader, count *tally, show func(result, []byte) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var one result
		if err := s.decode(lines.Bytes(), &one); err != nil {
			return err
		}
		if one.Error != "" && one.Outcome == "" {
			return failed(exitFailed, "%s", printable(one.Error))
		}
		count.done++
		count.by[one.Outcome]++
		if err := show(one, lines.Bytes()); err != nil {
			return err
		}
		if s.err != nil {
			return s.err
		}
	}
	switch {
	case ctx.Err() != nil:
		return context.Canceled
	case lines.Err() != nil:
		return failed(exitFailed, "the connection to Caddy ended after %s (%s); a reload ends it, too: run it once more",
			names(count.done), reason(lines.Err()))
	}
	return nil
}

// verdict is the exit code's reason after all results.
func (t *tally) verdict(asked int64) error {
	switch {
	case t.done < asked:
		return failed(exitFailed, "Caddy answered for %s of %s only: run it once more", comma(t.done), names(asked))
	case t.by["failed"] > 0:
		return &commandError{code: exitSomeFailed}
	}
	return nil
}

// plain is a result as text.
func (r result) plain() string {
	text := fmt.Sprintf("%-14s  %s", r.Outcome, r.Name)
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	return text
}
