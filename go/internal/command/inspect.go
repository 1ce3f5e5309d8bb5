package command

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func inspectCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect <name>",
		Short: "Shows all that is known of a name",
		Long: `Shows all that is known of a name: its certificates, how long they are served,
and what failed last. Without --cache, every cache that knows it is asked.`,
		Example: `  $ caddy cached-http inspect shop.example.com
  $ caddy cached-http inspect shop.example.com --json | jq .entries[].serial`,
		Args:              arguments(1, 1),
		ValidArgsFunction: completeNames(1),
		RunE:              inSession(inspect),
	}
}

func inspect(ctx context.Context, s *session, arguments []string) error {
	name := arguments[0]
	if strings.Trim(name, ".") == "" {
		return usageError(s.command, "%q is no name", name) // in a URL it would be a folder
	}
	caches, err := s.caches(ctx)
	if err != nil {
		return err
	}
	known := 0
	for _, cache := range caches {
		document, err := s.client.get(ctx, "/names/"+url.PathEscape(name), url.Values{"cache": {cache.ID}})
		var refusal *commandError
		if errors.As(err, &refusal) && refusal.code == exitUnknown {
			continue
		}
		if err != nil {
			return err
		}
		if err := s.showName(document, known == 0); err != nil {
			return err
		}
		known++
	}
	if known == 0 {
		return failed(exitUnknown, "nothing is known of %q: no client has asked for it, or it was purged", name)
	}
	return nil
}

func (s *session) showName(document []byte, first bool) error {
	if s.json {
		return s.document(document)
	}
	var name nameFacts
	if err := s.decode(document, &name); err != nil {
		return err
	}
	if !first {
		s.line("")
	}
	s.labelled("name", name.Name)
	s.labelled("cache", cacheIdentity{ID: name.Cache, Backend: name.Backend}.String())
	s.labelledTime("negative until", name.NegativeUntil)
	s.labelledTime("unusable until", name.UnsupportedUntil)
	s.labelledTime("failing since", name.FailingSince)
	s.labelledTime("asked again", name.RetryAt)
	s.labelled("last error", name.LastError)
	s.labelled("disk error", name.DiskError)
	s.labelled("fleet error", name.FleetError)
	s.showOrders(name)
	for _, entry := range name.Entries {
		s.line("")
		s.labelled("certificate", entry.KeyType)
		s.labelled("state", entry.State)
		s.labelled("held in", strings.Join(entry.In, " and "))
		s.labelled("names", strings.Join(entry.DNSNames, ", "))
		s.labelled("issuer", entry.Issuer)
		s.labelled("serial", entry.Serial)
		s.labelled("sha256", entry.SHA256)
		s.labelledTime("valid from", entry.NotBefore)
		s.labelledTime("valid until", entry.NotAfter)
		s.labelledTime("fetched", entry.FetchedAt)
		s.labelledTime("fresh until", entry.FreshUntil)
		s.labelledTime("served until", entry.StaleUntil)
	}
	return nil
}

// showOrders shows what became of orders that Caddy made itself.
func (s *session) showOrders(name nameFacts) {
	orders := name.Orders
	if orders == nil {
		return
	}
	if orders.IsUnderWay {
		s.labelled("order", "under way")
	}
	if orders.Failures > 0 {
		s.labelled("orders failed", fmt.Sprint(orders.Failures))
	}
	s.labelledTime("last failed", orders.FailedAt)
	s.labelled("problem", orders.LastProblem)
	s.labelledTime("cooldown", orders.CooldownUntil)
	s.labelledTime("domain cools", orders.DomainCooldownUntil)
}

func (s *session) labelledTime(label string, moment *time.Time) {
	if moment != nil {
		s.labelled(label, at(*moment))
	}
}
