package command

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// A shell asks these while somebody waits at the prompt: a Caddy that does not answer at once completes nothing.
const completionPatience = 2 * time.Second

// completeCaches offers the ids.
func completeCaches(command *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	s, err := newSession(command)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s.cache, s.client.patience = "", completionPatience
	caches, _ := s.caches(context.Background())
	var offers []string
	for _, cache := range caches {
		offers = append(offers, cobra.CompletionWithDesc(printable(cache.ID), printable(cache.Backend)))
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}

// completeNames offers names that start with what is typed, for the first so many arguments; -1 is any number.
func completeNames(most int) cobra.CompletionFunc {
	return func(command *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
		s, err := newSession(command)
		if err != nil || most >= 0 && len(given) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		s.client.patience = completionPatience
		query := s.query()
		query.Set("limit", strconv.Itoa(50))
		if typed != "" {
			query.Set("prefix", typed)
		}
		var page struct {
			Names []nameSummary `json:"names"`
		}
		document, err := s.client.get(context.Background(), "/names", query)
		if err != nil || json.Unmarshal(document, &page) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var offers []string
		for _, name := range page.Names {
			if !slices.Contains(given, name.Name) {
				offers = append(offers, printable(name.Name))
			}
		}
		return offers, cobra.ShellCompDirectiveNoFileComp
	}
}
