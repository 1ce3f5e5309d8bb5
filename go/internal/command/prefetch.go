package command

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"
)

func prefetchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "prefetch [<file>]",
		Short: "Fills the cache with names from a file or standard input",
		Long: `Asks the backend for the names that the cache does not hold yet. They stand one
a line in the file, or come from standard input; empty lines and lines that start
with # are skipped. Failures are printed as they come, all outcomes with --json.
Ctrl-C ends it: Caddy asks for no more names, and what was found stays. Run again,
names that are held cost the backend nothing.`,
		Example: `  $ caddy cached-http prefetch names.txt
  $ psql -Atc 'select domain from shops' | caddy cached-http prefetch`,
		Args: arguments(0, 1),
		RunE: inSession(prefetch),
	}
}

func prefetch(ctx context.Context, s *session, arguments []string) error {
	source, err := openNames(s, arguments)
	if err != nil {
		return err
	}
	bar := s.newProgress(source)
	list := newNameReader(ctx, source)
	count := newTally()
	err = s.prefetch(ctx, list, count, bar)
	bar.end()
	if count.done > 0 || err == nil || errors.Is(err, context.Canceled) {
		s.summarize(count, err)
	}
	switch {
	case err != nil:
		return err
	case !list.ended.Load():
		return failed(exitFailed, "Caddy ended it before all names were read: run it once more")
	case list.problem != nil:
		return failed(exitFailed, "the names could not be read to their end: %s", list.problem)
	}
	return count.verdict(list.names.Load())
}

// openNames is where the names are.
func openNames(s *session, arguments []string) (io.Reader, error) {
	if len(arguments) == 0 || arguments[0] == "-" {
		if input := s.command.InOrStdin(); !isTerminal(input) {
			return input, nil
		}
		s.note("One name a line, please; Ctrl-D ends.")
		return s.command.InOrStdin(), nil
	}
	file, err := os.Open(arguments[0])
	if err != nil {
		return nil, failed(exitFailed, "the names could not be read: %s", err)
	}
	return file, nil // read to its end, which is the process's
}

func (s *session) prefetch(ctx context.Context, list *nameReader, count *tally, bar *progress) error {
	body, err := s.client.send(ctx, http.MethodPost, "/prefetch", s.query(), "text/plain", list)
	if err != nil {
		return err
	}
	defer body.Close()
	return s.results(ctx, body, count, func(one result, line []byte) error {
		bar.add(list, one.Outcome == "failed")
		if s.json {
			return s.document(line)
		}
		if one.Outcome == "failed" {
			s.line("%s", one.plain())
		}
		return nil
	})
}

func (s *session) summarize(count *tally, err error) {
	text := count.String()
	if errors.Is(err, context.Canceled) {
		text = "Interrupted: " + text
	}
	if s.json {
		s.note("%s", text)
		return
	}
	s.line("%s", text)
}
