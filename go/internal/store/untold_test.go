package store_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
	"github.com/cached-http/caddy-cached-http/go/internal/store/storetest"
)

// A reload may put another cache in the place of one whose purge the fleet's storage has not taken.
func TestWhoJoinsAFleetFollowsWhatCouldNotBeTold(t *testing.T) {
	opened := storetest.Use(t)
	folder := t.TempDir()
	cache := func(backend, name, distributed string) string {
		return fmt.Sprintf(`{"url": "http://%s.example", "cache_dir": %q%s}`, backend, filepath.Join(folder, name), distributed)
	}
	const fleet = `, "distributed": {"encryption_keys": ["/k"]}`
	operated := func(number int, want ...string) {
		t.Helper()
		var purges []string
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			purges = slices.DeleteFunc((*opened)[number].Operated(), func(one string) bool { return !strings.HasPrefix(one, `{"purge`) })
			if slices.Equal(purges, want) || time.Now().After(end) {
				break
			}
		}
		if !slices.Equal(purges, want) {
			t.Errorf("cache %d was asked for %q", number, purges)
		}
	}
	one, _ := run(t, cache("untold", "one", fleet))
	refused := map[string]native.Event{"purge": {Status: native.StatusFailed, Text: "not told"}, "purge_all": {Status: native.StatusOK, Text: `{"purged":1}`}}
	(*opened)[0].Operations = refused
	if _, err := one.PurgeAll(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := one.Purge(t.Context(), []string{"leaked.example"}); err == nil {
		t.Error("it was told")
	}
	const leaked, all = `{"purge":{"names":["leaked.example"]}}`, `{"purge_all":{}}`
	two, _ := run(t, cache("untold", "two", fleet))
	other, _ := run(t, cache("another", "three", fleet))
	alone, _ := run(t, cache("untold", "four", ""))
	operated(0, all, leaked)
	operated(1, leaked)
	operated(2)
	operated(3)
	// Of many, one of all is left.
	for n := range 300 {
		_, _ = one.Purge(t.Context(), []string{fmt.Sprintf("n%d.example", n)})
	}
	last, _ := run(t, cache("untold", "five", fleet))
	for end := time.Now().Add(30 * time.Second); !slices.Contains((*opened)[4].Operated(), all) && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if asked := (*opened)[4].Operated(); len(asked) > 256 || !slices.Contains(asked, all) {
		t.Errorf("%d purges", len(asked))
	}
	_, _ = one.PurgeAll(t.Context()) // nothing is left to another run
	release(t, one, two, other, alone, last)
}

var (
	toldNobody = native.Event{Status: native.StatusFailed, Text: "not told"}
	told       = native.Event{Status: native.StatusOK, Text: `{"purged":1}`}
)

// joining is a cache that joins the fleet, whose engine answers purges so. It returns the purges that it was asked for.
func joining(t *testing.T, backend, name string, answer native.Event) (*store.Lease, func() []string) {
	t.Helper()
	before := store.OpenEngine
	defer func() { store.OpenEngine = before }()
	engine := storetest.New()
	engine.Operations = map[string]native.Event{"purge": answer, "purge_all": answer}
	store.OpenEngine = func([]byte) (store.Engine, error) { return engine, nil }
	lease, _ := run(t, fmt.Sprintf(`{"url": "http://%s.example", "cache_dir": "/%s", "distributed": {"encryption_keys": ["/k"]}}`, backend, name))
	return lease, func() []string {
		synctest.Wait()
		return engine.Operated()
	}
}

func TestAPurgeIsFollowedUntilItIsToldAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := []string{"leaked.example"}
		const leaked = `{"purge":{"names":["leaked.example"]}}`
		one, _ := joining(t, "follow", "one", toldNobody)
		defer release(t, one)
		_, _ = one.Purge(t.Context(), names)
		join := func(name string, answer native.Event, want ...string) {
			t.Helper()
			lease, operated := joining(t, "follow", name, answer)
			defer release(t, lease)
			if asked := operated(); !slices.Equal(asked, want) {
				t.Errorf("%s was asked for %q", name, asked)
			}
		}
		join("two", toldNobody, leaked)
		join("three", toldNobody, leaked) // once
		join("four", told, leaked)
		join("five", toldNobody)

		_, _ = one.Purge(t.Context(), names)
		time.Sleep(90 * time.Minute)
		join("six", toldNobody, leaked)
		time.Sleep(time.Hour)
		join("seven", toldNobody) // to try in vain does not prolong it

		_, _ = one.Purge(t.Context(), names)
		time.Sleep(90 * time.Minute)
		_, _ = one.Purge(t.Context(), names)
		time.Sleep(time.Hour)
		join("eight", toldNobody, leaked) // of a newer wish it is the time that counts
		again, _ := joining(t, "follow", "nine", told)
		defer release(t, again)
		_, _ = one.Purge(t.Context(), names)
		_, _ = one.Purge(t.Context(), []string{"other.example"})
		_, _ = again.PurgeAll(t.Context())
		join("ten", toldNobody)
	})
}

func TestManyPurgesOfOneBackendAreNothingToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		many, _ := joining(t, "many", "one", toldNobody)
		few, _ := joining(t, "few", "two", toldNobody)
		defer release(t, many, few)
		for n := range 256 {
			_, _ = many.Purge(t.Context(), []string{fmt.Sprintf("n%d.example", n)})
		}
		_, _ = few.Purge(t.Context(), []string{"leaked.example"})
		last, operated := joining(t, "few", "three", told)
		defer release(t, last)
		if asked := operated(); !slices.Equal(asked, []string{`{"purge":{"names":["leaked.example"]}}`}) {
			t.Errorf("%q", asked)
		}
	})
}
