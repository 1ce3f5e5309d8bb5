package e2e

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// A key is replaced while the fleet runs: add the new one, seal with it, take the old one away.
func TestFleetKeyRotation(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "s-maxage=3600")
	certificates := testbackend.Certificate(authority, testca.P256, "s-maxage=3600")
	f.backend.AnswerOthers(certificates)
	older, newer := f.keys[0], newKey(t)
	f.start(2)
	var names, want []string
	steps := []struct {
		title string
		keys  []string
	}{
		{"the old one", []string{older}},
		{"both, the old one seals", []string{older, newer}},
		{"both, the new one seals", []string{newer, older}},
		{"the new one", []string{newer}},
	}
	for i, step := range steps {
		f.keys = step.keys
		if i > 0 {
			for _, n := range f.nodes[:2] {
				n.reload()
			}
		}
		requests := len(f.backend.Requests())
		fresh := coldNames(strings.Repeat("x", i+1), 5)
		names = append(names, fresh...)
		want = append(want, f.nodes[i%2].serials(fresh)...)
		f.settled(len(names))
		asked := len(f.backend.Requests()) - requests
		t.Logf("%s: %d names, %d requests for %d new ones", step.title, len(names), asked, len(fresh))
		if asked != len(fresh) {
			t.Errorf("%s: %d requests", step.title, asked)
		}
		newcomer := f.prepare()
		newcomer.run()
		// Beside a storage that takes 100 ms the backend is asked, too: all must come from the storage.
		f.backend.AnswerOthers(testbackend.Status(http.StatusBadGateway))
		for _, n := range append(slices.Clone(f.nodes[:2]), newcomer) {
			if got := n.serials(names); !slices.Equal(got, want) {
				t.Errorf("%s: a node serves others than the first was sent", step.title)
			}
		}
		f.backend.AnswerOthers(certificates)
		newcomer.stop()
		if i == 2 { // before the old key goes, everything is sealed with the new one
			header := newOracle(t, newer).header()
			for _, name := range names {
				f.nodes[0].adminDoor().refresh(`{"names": ["`+name+`"]}`, name+" found")
			}
			eventually(t, purgeLimit, "all are sealed with the new key", func() bool {
				for _, record := range f.records() {
					if !strings.HasPrefix(string(record), header) {
						return false
					}
				}
				return true
			})
		}
	}
}

// A node whose key file can't be used does not start, and says which file it is; one without the others' key asks the backend.
func TestFleetBadKeyFiles(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "s-maxage=3600")
	for title, content := range map[string]string{
		"short":  strings.Repeat("0a", 31) + "\n",
		"no-hex": strings.Repeat("xy", 32) + "\n",
		"empty":  "",
	} {
		n := f.prepare()
		path := n.file(title+".key", []byte(content))
		n.keys = []string{path}
		if text := n.startFails(n.site()); !strings.Contains(text, title+".key") {
			t.Errorf("%s: the log does not name the file", title)
		}
	}
	n := f.prepare()
	open := n.file("open.key", []byte(plant(strings.Repeat("0b", 32))+"\n"))
	if err := os.Chmod(open, 0o644); err != nil { //nolint:gosec // that is the case
		t.Fatal(err)
	}
	n.keys = []string{open}
	if text := n.startFails(n.site()); !strings.Contains(text, "open.key") {
		t.Error("a key that others can read: the log does not name the file")
	}
	n.keys = []string{n.folder + "/none.key"}
	if text := n.startFails(n.site()); !strings.Contains(text, "none.key") {
		t.Error("a key file that is not there: the log does not name the file")
	}
}
