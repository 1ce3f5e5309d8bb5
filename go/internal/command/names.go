package command

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// states are those by which names can be listed.
var states = []string{"fresh", "stale", "expired", "negative", "failing", "disk", "ending"}

const (
	// pageSize is how many names are asked for at a time.
	pageSize = 1000
	// maxEnding is how many names the API lists of those that end first, which have no pages.
	maxEnding = 10_000
)

func namesCommand() *cobra.Command {
	var list nameList
	command := &cobra.Command{
		Use:   "names [--prefix <text>] [--state <state>] [--limit <n> | --all]",
		Short: "Lists names and what is known of them",
		Long: `Lists names, those with a certificate in memory unless --state says which:

  fresh, stale    with a certificate within or past its lifetime
  expired         with one that is served no more
  negative        without one, as the backend has said
  failing         whose last request has failed
  disk            with a file in cache_dir
  ending          with the certificates that end first, the first one first;
                  10,000 at most`,
		Example: `  $ caddy cached-http names --prefix shop.
  $ caddy cached-http names --state failing --all
  $ caddy cached-http names --all --json | jq -r .name`,
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: inSession(func(ctx context.Context, s *session, _ []string) error {
			return list.show(ctx, s)
		}),
	}
	flags := command.Flags()
	flags.StringVar(&list.prefix, "prefix", "", "Only names that start with this")
	flags.StringVar(&list.state, "state", "", "Only names in this state, see above")
	flags.IntVar(&list.limit, "limit", 100, "At most so many names")
	flags.BoolVar(&list.all, "all", false, "All names, however many")
	_ = command.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(states, cobra.ShellCompDirectiveNoFileComp))
	_ = command.RegisterFlagCompletionFunc("prefix", cobra.NoFileCompletions)
	return command
}

// nameList is which names are shown.
type nameList struct {
	prefix, state string
	limit         int
	all           bool
}

type namesPage struct {
	Names  []json.RawMessage `json:"names"`
	Cursor string            `json:"cursor"`
}

func (l *nameList) check(s *session) error {
	switch limited := s.command.Flags().Changed("limit"); {
	case l.all && limited:
		return usageError(s.command, "--all and --limit exclude each other")
	case l.limit < 1:
		return usageError(s.command, "--limit must be 1 or more")
	case l.state != "" && !slices.Contains(states, l.state):
		return usageError(s.command, "there is no state %q: it is one of %s", l.state, strings.Join(states, ", "))
	case l.state == "ending" && l.prefix != "":
		return usageError(s.command, "--prefix does not go with --state ending, which is in the order of time")
	}
	return nil
}

// show follows the pages, and prints each as it comes.
func (l *nameList) show(ctx context.Context, s *session) error {
	if err := l.check(s); err != nil {
		return err
	}
	shown, cursor := 0, ""
	for l.all || shown < l.limit {
		page, err := l.page(ctx, s, cursor, l.limit-shown)
		if err != nil {
			return err
		}
		for _, row := range page.Names {
			if err := s.row(row, shown == 0); err != nil {
				return err
			}
			shown++
		}
		if page.Cursor == "" {
			switch {
			case shown == 0:
				s.note("No names.")
			case l.state == "ending" && shown == maxEnding:
				s.note("There may be more: those that end first are listed up to %s.", names(maxEnding))
			case l.state == "ending" && shown == l.limit && !l.all:
				s.note("There may be more: see --limit and --all.")
			}
			return s.err
		}
		if page.Cursor == cursor {
			return failed(exitFailed, "the answer of %s leads to itself: the list ends here", s.client.address)
		}
		if cursor = page.Cursor; s.err != nil {
			return s.err
		}
	}
	s.note("There may be more: see --limit and --all.")
	return nil
}

func (l *nameList) page(ctx context.Context, s *session, cursor string, left int) (page namesPage, err error) {
	query := s.query()
	for name, value := range map[string]string{"prefix": l.prefix, "state": l.state, "cursor": cursor} {
		if value != "" {
			query.Set(name, value)
		}
	}
	size := pageSize
	if l.state == "ending" {
		size = maxEnding
	}
	if !l.all {
		size = min(left, size)
	}
	query.Set("limit", strconv.Itoa(size))
	document, err := s.client.get(ctx, "/names", query)
	if err == nil {
		err = s.decode(document, &page)
	}
	return page, err
}

// row prints one name. It stands last but for the reason, so that lines are aligned however long names are.
func (s *session) row(document json.RawMessage, first bool) error {
	if s.json {
		return s.document(document)
	}
	var name nameSummary
	if err := s.decode(document, &name); err != nil {
		return err
	}
	const columns = "%-8s  %-38s  %s"
	if first {
		s.line(columns, "STATE", "TIME", "NAME")
	}
	when := "-"
	switch {
	case name.State == "failing" && name.FailingSince != nil:
		when = "since " + at(*name.FailingSince)
	case name.NotAfter != nil:
		when = "ends " + at(*name.NotAfter)
	case name.FreshUntil != nil:
		when = "until " + at(*name.FreshUntil)
	}
	text := name.Name
	if name.LastError != "" {
		text += ": " + name.LastError
	}
	s.line(columns, name.State, when, text)
	return nil
}
