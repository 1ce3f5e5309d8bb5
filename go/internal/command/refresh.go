package command

import (
	"context"

	"github.com/spf13/cobra"
)

func refreshCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "refresh <name>...",
		Short: "Asks the backend for names now",
		Long: `Asks the backend for names now, whatever is held of them. What is held is
served meanwhile, and afterwards if the request fails. Each outcome is printed as
it comes: found, not_modified, no_certificate or failed.`,
		Example:           `  $ caddy cached-http refresh shop.example.com www.example.com`,
		Args:              arguments(1, -1),
		ValidArgsFunction: completeNames(-1),
		RunE:              inSession(refresh),
	}
}

func refresh(ctx context.Context, s *session, names []string) error {
	body, err := s.client.post(ctx, "/refresh", change{Names: names, Cache: s.cache})
	if err != nil {
		return err
	}
	defer body.Close()
	count := newTally()
	err = s.results(ctx, body, count, func(one result, line []byte) error {
		if s.json {
			return s.document(line)
		}
		s.line("%s", one.plain())
		return nil
	})
	if err != nil {
		return err
	}
	return count.verdict(int64(len(names)))
}
