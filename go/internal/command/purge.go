package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func purgeCommand() *cobra.Command {
	var all, yes bool
	command := &cobra.Command{
		Use:   "purge <name>... | --all [--yes]",
		Short: "Removes names from the caches, memory and disk",
		Long: `Removes all that is known of names: certificates in memory and on disk, "no
certificate", and failures. The next handshake asks the backend. Without --cache,
every cache forgets them. Where caches are distributed, all nodes do.`,
		Example: `  $ caddy cached-http purge shop.example.com www.example.com
  $ caddy cached-http purge --all --yes`,
		Args:              arguments(0, -1),
		ValidArgsFunction: completeNames(-1),
		RunE: inSession(func(ctx context.Context, s *session, names []string) error {
			switch {
			case all && len(names) > 0:
				return usageError(s.command, "--all and names exclude each other")
			case all:
				return purgeAll(ctx, s, yes)
			case len(names) == 0:
				return usageError(s.command, "a name is missing")
			}
			return purge(ctx, s, change{Names: names, Cache: s.cache})
		}),
	}
	command.Flags().BoolVar(&all, "all", false, "Everything, after a question")
	command.Flags().BoolVarP(&yes, "yes", "y", false, "Don't ask")
	return command
}

// change is what purge and refresh send.
type change struct {
	Names []string `json:"names,omitempty"`
	All   bool     `json:"all,omitempty"`
	Cache string   `json:"cache,omitempty"`
}

func purge(ctx context.Context, s *session, what change) error {
	body, err := s.client.post(ctx, "/purge", what)
	if err != nil {
		return err
	}
	defer body.Close()
	document, err := s.client.read(ctx, body)
	if err != nil {
		return err
	}
	if s.json {
		return s.document(document)
	}
	var answer struct {
		Purged int64 `json:"purged"`
	}
	if err := s.decode(document, &answer); err != nil {
		return err
	}
	s.line("%s purged", names(answer.Purged))
	return nil
}

func purgeAll(ctx context.Context, s *session, yes bool) error {
	if !yes {
		if !isTerminal(s.command.InOrStdin()) {
			return usageError(s.command, "purge --all needs --yes where nobody can be asked")
		}
		if err := confirmPurge(ctx, s); err != nil {
			return err
		}
	}
	return purge(ctx, s, change{All: true, Cache: s.cache})
}

// confirmPurge says what would go, and asks.
func confirmPurge(ctx context.Context, s *session) error {
	caches, err := s.caches(ctx)
	if err != nil {
		return err
	}
	for _, cache := range caches {
		held := certificates(cache.Entries) + " in memory"
		switch {
		case cache.CacheDir == "":
		case cache.DiskEntries == 0: // which a disk that was not counted has, too
			held += ", none counted on disk so far"
		default:
			held += ", " + certificates(cache.DiskEntries) + " on disk"
		}
		s.note("%s: %s", cache.cacheIdentity, held)
	}
	fmt.Fprint(s.notes, "Purge everything? The next handshake of each name asks the backend. [y/N] ")
	answer := make(chan string, 1)
	go func() { answer <- firstLine(s.command.InOrStdin()) }()
	select {
	case <-ctx.Done():
		s.note("")
		return context.Canceled
	case line := <-answer:
		if line == "y" || line == "yes" {
			return nil
		}
		return failed(exitFailed, "nothing was purged")
	}
}

func firstLine(from io.Reader) string {
	line, _ := bufio.NewReader(from).ReadString('\n') // no answer is a no
	return strings.ToLower(strings.TrimSpace(line))
}
