package store_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
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
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
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
	if _, err := one.Purge(t.Context(), []string{"leaked.example"}); err == nil {
		t.Error("it was told")
	}
	if _, err := one.PurgeAll(t.Context()); err != nil {
		t.Error(err)
	}
	const leaked, all = `{"purge":{"names":["leaked.example"]}}`, `{"purge_all":{}}`
	two, _ := run(t, cache("untold", "two", fleet))
	other, _ := run(t, cache("another", "three", fleet))
	alone, _ := run(t, cache("untold", "four", ""))
	operated(0, leaked, all)
	operated(1, leaked)
	operated(2)
	operated(3)
	// Of many, one of all is left.
	for n := range 300 {
		_, _ = one.Purge(t.Context(), []string{fmt.Sprintf("n%d.example", n)})
	}
	last, _ := run(t, cache("untold", "five", fleet))
	for end := time.Now().Add(5 * time.Second); !slices.Contains((*opened)[4].Operated(), all) && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if asked := (*opened)[4].Operated(); len(asked) > 256 || !slices.Contains(asked, all) {
		t.Errorf("%d purges", len(asked))
	}
	release(t, one, two, other, alone, last)
}
