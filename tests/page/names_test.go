package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

const day = 24 * time.Hour

// newCache is a cache with these names.
func newCache(id string, names ...store.NameFacts) *fakeCache {
	slices.SortFunc(names, func(one, other store.NameFacts) int { return cmp.Compare(one.Name, other.Name) })
	c := &fakeCache{id: id, backend: "https://app.internal/certificates", cacheDir: "/var/lib/caddy/cached_http", names: names}
	for _, facts := range names {
		if len(facts.Entries) > 0 {
			c.counters.Entries++
		}
		if facts.NegativeUntil != nil {
			c.counters.Negatives++
		}
		if facts.FailingSince != nil {
			c.counters.FailingNames++
		}
	}
	held := c.counters.Entries
	c.counters.EntryBytes, c.counters.DiskEntries, c.counters.DiskBytes = held*2300, held, held*4096
	return c
}

// served is a name with a certificate that ends in this time.
func served(name string, left time.Duration) store.NameFacts {
	now := time.Now().UTC().Truncate(time.Second)
	until := func(d time.Duration) *time.Time { t := now.Add(d); return &t }
	return store.NameFacts{Name: name, Entries: []store.EntryFacts{{
		KeyType: "ECDSA P-256", Serial: "04a1f20c9be7d1135c80", SHA256: strings.Repeat("9c41d07be2", 6) + "9c41",
		DNSNames: []string{name}, Issuer: "CN=E7,O=Let's Encrypt,C=US",
		NotBefore: now.Add(left - 90*day), NotAfter: now.Add(left), FetchedAt: now.Add(-38 * time.Minute),
		FreshUntil: until(22 * time.Minute), StaleUntil: until(22*time.Minute + day),
		State: store.StateFresh, In: []string{"memory", "disk"},
	}}}
}

// stale is one whose lifetime has ended.
func stale(facts store.NameFacts) store.NameFacts {
	entry := &facts.Entries[0]
	ended, bridged := time.Now().UTC().Add(-3*time.Hour), time.Now().UTC().Add(21*time.Hour)
	entry.State, entry.FetchedAt, entry.FreshUntil, entry.StaleUntil = store.StateStale, ended.Add(-time.Hour), &ended, &bridged
	return facts
}

func failing(facts store.NameFacts, since time.Duration, reason string) store.NameFacts {
	began, retry := time.Now().UTC().Add(-since), time.Now().UTC().Add(21*time.Second)
	facts.FailingSince, facts.RetryAt, facts.LastError = &began, &retry, reason
	return facts
}

func denied(name string) store.NameFacts {
	until := time.Now().UTC().Add(47 * time.Second)
	return store.NameFacts{Name: name, NegativeUntil: &until}
}

// many are as many names, in order.
func many(count int) []store.NameFacts {
	names := make([]store.NameFacts, count)
	for i := range names {
		names[i].Name = fmt.Sprintf("n%07d.example", i)
	}
	full := served("", 60*day)
	for i := range names {
		names[i].Entries = full.Entries
	}
	return names
}

// page looks at a thousand names at most, so that a page may be empty and yet have a cursor.
func (c *fakeCache) page(query store.NamesQuery) store.NamesPage {
	state, prefix, limit, cursor := query.State, query.Prefix, query.Limit, query.Cursor
	if state == store.StateEnding {
		return c.ending(limit)
	}
	page := store.NamesPage{Names: []store.NameSummary{}}
	start, _ := c.find(max(prefix, cursor))
	for i := start; i < len(c.names) && strings.HasPrefix(c.names[i].Name, prefix); i++ {
		name := c.names[i].Name
		if name == cursor {
			continue
		}
		if len(page.Names) == limit || i-start == 1000 {
			page.Cursor = c.names[i-1].Name
			break
		}
		summary := summaryOf(c.names[i])
		memory := state == "" && len(c.names[i].Entries) > 0
		failing := state == store.StateFailing && c.names[i].FailingSince != nil
		disk := state == store.StateDisk && len(c.names[i].Entries) > 0
		if memory || failing || disk || state == summary.State {
			page.Names = append(page.Names, summary)
		}
	}
	return page
}

func (c *fakeCache) ending(limit int) store.NamesPage {
	page := store.NamesPage{Names: []store.NameSummary{}}
	for _, facts := range c.names {
		if len(facts.Entries) > 0 {
			page.Names = append(page.Names, summaryOf(facts))
		}
	}
	slices.SortStableFunc(page.Names, func(one, other store.NameSummary) int { return one.NotAfter.Compare(*other.NotAfter) })
	page.Names = page.Names[:min(limit, len(page.Names))]
	return page
}

func summaryOf(facts store.NameFacts) store.NameSummary {
	summary := store.NameSummary{
		Name: facts.Name, State: store.StateNegative, FreshUntil: facts.NegativeUntil,
		FailingSince: facts.FailingSince, RetryAt: facts.RetryAt, LastError: facts.LastError,
	}
	if len(facts.Entries) > 0 {
		entry := facts.Entries[0]
		summary.State, summary.NotAfter, summary.FreshUntil = entry.State, &entry.NotAfter, entry.FreshUntil
	} else if facts.FailingSince != nil {
		summary.State = store.StateFailing
	}
	return summary
}
