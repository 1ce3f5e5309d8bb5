package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// What an operator can ask, each through both doors.

const (
	fineName     = "fine.example.com"
	staleName    = "stale.example.com"
	negativeName = "nobody.example.com"
	failingName  = "broken.example.com"
)

// startOperated starts a Caddy with a disk, a door of each kind, and a name of each sort.
func startOperated(t *testing.T) (*caddy, *testbackend.Server, []*operator) {
	t.Helper()
	// RSA, which serves all clients: a prefetch of ECDSA asks for the others, too.
	backend := startBackend(t, testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600"))
	backend.Answer(staleName, testbackend.Certificate(authority, testca.P256, "s-maxage=1"))
	backend.Answer(negativeName, testbackend.Status(http.StatusNoContent))
	backend.Answer(failingName, testbackend.Status(http.StatusTeapot))
	c := prepareCaddy(t)
	port := freePort(t)
	password := plant("Ieph0eiyoh0Chu3u")
	c.start(site{
		url:     strings.Replace(backend.URL(), "//", "//caddy:"+password+"@", 1),
		options: []string{"cache_dir " + c.folder + "/cache", "refresh_ahead off"},
		sites:   operateSite(port, writable),
	})
	c.handshakes(fineName, staleName)
	c.refused(negativeName)
	c.refused(failingName)
	eventually(t, 20*time.Second, "both are on disk", func() bool { return len(entries(t, c.folder+"/cache")) == 2 })
	time.Sleep(1100 * time.Millisecond)
	return c, backend, c.doors(port)
}

func TestOperateTellsWhatIsKnown(t *testing.T) {
	t.Parallel()
	c, backend, doors := startOperated(t)
	leaf, err := c.handshake(fineName)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(leaf.Raw)
	for _, door := range doors {
		var caches []cacheFacts
		door.read("/caches", &caches)
		if len(caches) != 1 {
			t.Fatalf("%d caches", len(caches))
		}
		cache := caches[0]
		if len(cache.ID) != 8 || cache.Backend != backend.URL() || cache.CacheDir != c.folder+"/cache" {
			t.Errorf("%s: %+v", door.title, cache)
		}
		if cache.Entries != 2 || cache.EntryBytes == 0 || cache.Negatives != 1 || cache.FailingNames != 1 || cache.BreakerOpen ||
			cache.FirstCertificateEnd == "" || cache.Limits.MaxMemory != 256<<20 || cache.Limits.MaxConcurrentFetches != 512 {
			t.Errorf("%s: %+v", door.title, cache)
		}

		for state, want := range map[string][]string{
			"": {fineName, staleName}, "fresh": {fineName}, "stale": {staleName}, "expired": nil, "negative": {negativeName},
			"failing": {failingName}, "disk": {fineName, staleName}, "ending": {fineName, staleName},
		} {
			if got := door.names("state=" + state); !slices.Equal(got, want) {
				t.Errorf("%s: %q: %v, want %v", door.title, state, got, want)
			}
		}
		if got := door.names("prefix=fi&cache=" + cache.ID); !slices.Equal(got, []string{fineName}) {
			t.Errorf("%s: by prefix: %v", door.title, got)
		}
		var page namesPage
		if door.read("/names?state=failing", &page); len(page.Names) != 1 || page.Names[0].FailingSince == nil ||
			page.Names[0].RetryAt == nil || !strings.Contains(page.Names[0].LastError, "418") {
			t.Errorf("%s: failing: %+v", door.title, page.Names)
		}

		var facts nameFacts
		door.read("/names/"+strings.ToUpper(fineName), &facts)
		if facts.Name != fineName || facts.Cache != cache.ID || facts.Backend != cache.Backend || len(facts.Entries) != 1 {
			t.Fatalf("%s: %+v", door.title, facts)
		}
		entry := facts.Entries[0]
		if entry.KeyType != "RSA 2048" || entry.Serial != strings.ToUpper(hex.EncodeToString(leaf.SerialNumber.Bytes())) ||
			entry.SHA256 != hex.EncodeToString(digest[:]) || !slices.Equal(entry.DNSNames, leaf.DNSNames) ||
			entry.Issuer != leaf.Issuer.String() || !entry.NotAfter.Equal(leaf.NotAfter) || entry.State != "fresh" ||
			!slices.Equal(entry.In, []string{"memory", "disk"}) || entry.FreshUntil.Sub(entry.FetchedAt).Round(time.Minute) != time.Hour {
			t.Errorf("%s: %+v", door.title, entry)
		}
		facts = nameFacts{}
		if door.read("/names/"+negativeName, &facts); len(facts.Entries) > 0 || facts.NegativeUntil == nil {
			t.Errorf("%s: %+v", door.title, facts)
		}
		facts = nameFacts{}
		if door.read("/names/"+failingName, &facts); facts.FailingSince == nil || !strings.Contains(facts.LastError, "418") {
			t.Errorf("%s: %+v", door.title, facts)
		}
		if status, text, _ := door.ask("GET", "/names/other.example.com", ""); status != http.StatusNotFound {
			t.Errorf("%s: %d %s", door.title, status, text)
		}
	}
}

// names are those of one page.
func (o *operator) names(query string) (names []string) {
	o.t.Helper()
	var page namesPage
	o.read("/names?"+query, &page)
	for _, name := range page.Names {
		names = append(names, name.Name)
	}
	slices.Sort(names) // those on disk come in the order of their files
	return names
}

func TestOperatePagesThroughNames(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Text(authority.Issue(testca.Leaf{Names: []string{"*.shop.example.com"}}).PEM(), "s-maxage=60"))
	port := freePort(t)
	c := startCaddy(t, site{url: backend.URL(), sites: operateSite(port, "cached_http_api")})
	var list strings.Builder
	for i := range 250 {
		fmt.Fprintf(&list, "n%03d.shop.example.com\n", i)
	}
	c.adminDoor().stream("/prefetch", list.String())
	for _, door := range c.doors(port) {
		seen := map[string]int{}
		var page namesPage
		for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
			page = namesPage{}
			door.read("/names?limit=60&cursor="+cursor, &page)
			for _, name := range page.Names {
				seen[name.Name]++
			}
			if cursor = url.QueryEscape(page.Cursor); len(page.Names) > 60 || pages > 20 {
				t.Fatalf("%s: page %d has %d names", door.title, pages, len(page.Names))
			}
		}
		if len(seen) != 250 {
			t.Errorf("%s: %d names", door.title, len(seen))
		}
		page = namesPage{}
		if door.read("/names", &page); len(page.Names) > 100 || page.Cursor == "" {
			t.Errorf("%s: by default %d names", door.title, len(page.Names))
		}
	}
}

func TestOperateChangesWhatIsKnown(t *testing.T) {
	t.Parallel()
	c, backend, doors := startOperated(t)
	for _, door := range doors {
		// Whatever is known of a name, it is forgotten; of one that nothing is known of, nothing.
		door.purge(fmt.Sprintf(`{"names": [%q, %q, %q, "other.example.com"]}`, fineName, negativeName, failingName), 3)
		for _, name := range []string{fineName, negativeName, failingName} {
			if status, text, _ := door.ask("GET", "/names/"+name, ""); status != http.StatusNotFound {
				t.Errorf("%s: %s: %d %s", door.title, name, status, text)
			}
		}
		if left := door.names("state=disk"); slices.Contains(left, fineName) || !slices.Contains(left, staleName) {
			t.Errorf("%s: on disk: %v", door.title, left)
		}
		before := backend.Count(fineName)
		c.handshakes(fineName, fineName)
		if asked := backend.Count(fineName) - before; asked != 1 {
			t.Errorf("%s: asked %d times", door.title, asked)
		}
		c.refused(negativeName)
		c.refused(failingName)

		// At once, although the one is in its back-off and the other known to have none.
		before = backend.Count(failingName) + backend.Count(negativeName)
		lines := door.refresh(fmt.Sprintf(`{"names": [%q, %q, %q]}`, fineName, negativeName, failingName),
			failingName+" failed", fineName+" found", negativeName+" no_certificate")
		if asked := backend.Count(failingName) + backend.Count(negativeName) - before; asked < 2 || !strings.Contains(lines[0].Reason, "418") {
			t.Errorf("%s: asked %d times: %+v", door.title, asked, lines)
		}

		fresh := "a-" + door.title + ".example.com"
		door.prefetch("# two\n"+fresh+"\n\n"+fineName+"\nno name\n", fresh+" found", fineName+" fresh", "no name failed")
		if count := backend.Count(fresh); count != 1 {
			t.Errorf("%s: %d requests", door.title, count)
		}
		c.handshakes(fresh)
		if count := backend.Count(fresh); count != 1 {
			t.Errorf("%s: %d requests after a handshake", door.title, count)
		}
		if door == doors[0] {
			continue
		}
		if status, text, _ := door.ask("POST", "/purge", `{"all": true}`); status != http.StatusOK {
			t.Errorf("%d %s", status, text)
		}
		for _, state := range []string{"", "negative", "failing", "disk"} {
			if left := door.names("state=" + state); len(left) > 0 {
				t.Errorf("%q: %v", state, left)
			}
		}
	}
}
