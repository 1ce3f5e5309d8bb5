package command

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

func cachesCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "caches",
		Short:             "Lists the caches, what they hold and how their backends fare",
		Example:           `  $ caddy cached-http caches`,
		Args:              arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              inSession(showCaches),
	}
}

func showCaches(ctx context.Context, s *session, _ []string) error {
	caches, err := s.caches(ctx)
	if err != nil {
		return err
	}
	if s.json {
		documents := make([]json.RawMessage, len(caches))
		for i, cache := range caches {
			documents[i] = cache.document
		}
		document, err := json.Marshal(documents)
		if err != nil {
			return err
		}
		return s.document(document)
	}
	for i, cache := range caches {
		if i > 0 {
			s.line("")
		}
		s.describe(cache)
	}
	return nil
}

// caches asks for those that are meant: all, or the one of --cache.
func (s *session) caches(ctx context.Context) (chosen []cacheFacts, err error) {
	document, err := s.client.get(ctx, "/caches", nil)
	if err != nil {
		return nil, err
	}
	var documents []json.RawMessage
	if err := s.decode(document, &documents); err != nil {
		return nil, err
	}
	if len(documents) == 0 {
		return nil, failed(exitFailed, "the Caddy at %s runs no cache: its configuration has no get_certificate cached_http", s.client.address)
	}
	var running []cacheIdentity
	for _, document := range documents {
		cache := cacheFacts{document: document}
		if err := s.decode(document, &cache); err != nil {
			return nil, err
		}
		running = append(running, cache.cacheIdentity)
		if s.cache == "" || s.cache == cache.ID || s.cache == cache.Backend {
			chosen = append(chosen, cache)
		}
	}
	if len(chosen) == 0 {
		return nil, failed(exitUnknown, "no such cache runs in this Caddy; these do:%s", listed(running))
	}
	return chosen, nil
}

func (s *session) describe(cache cacheFacts) {
	s.labelled("cache", cache.ID)
	s.labelled("backend", cache.Backend)
	health := "up"
	if cache.BreakerOpen {
		health = "down: it is only probed, what is held is served"
	}
	if cache.FailingNames > 0 {
		health += fmt.Sprintf("; %s failing", names(cache.FailingNames))
	}
	s.labelled("state", health)
	s.labelled("memory", fmt.Sprintf("%s, %s of %s", certificates(cache.Entries),
		humanize.IBytes(cache.EntryBytes), humanize.IBytes(cache.Limits.MaxMemory)))
	if cache.CacheDir != "" {
		s.labelled("disk", fmt.Sprintf("%s, %s of %s, in %s", certificates(cache.DiskEntries),
			humanize.IBytes(cache.DiskBytes), humanize.IBytes(cache.Limits.MaxDisk), cache.CacheDir))
	}
	if fleet := cache.Fleet; fleet != nil {
		state := "purges of other nodes were not read yet"
		if fleet.PurgesReadAt != nil {
			state = "purges of other nodes last read " + at(*fleet.PurgesReadAt)
		}
		if fleet.BreakerOpen {
			state += "; its storage fails, and is left alone for a moment"
		}
		if fleet.Writes > 0 {
			state += fmt.Sprintf("; %s to write", certificates(fleet.Writes))
		}
		s.labelled("fleet", state)
	}
	s.labelled("negatives", names(cache.Negatives)+" without a certificate")
	s.labelled("fetches", fmt.Sprintf("at most %s at once", comma(cache.Limits.MaxConcurrentFetches)))
	if cache.FirstCertificateEnd != nil {
		s.labelled("first end", at(*cache.FirstCertificateEnd)+" of a certificate in demand")
	}
	if cache.FirstBridgeEnd != nil {
		s.labelled("bridge ends", at(*cache.FirstBridgeEnd)+" if refreshes go on failing")
	}
}

func names(count int64) string { return plural(count, "name") }

func certificates(count int64) string { return plural(count, "certificate") }

func comma(count int64) string { return humanize.Comma(count) }

func plural(count int64, thing string) string {
	if count != 1 {
		thing += "s"
	}
	return comma(count) + " " + thing
}
