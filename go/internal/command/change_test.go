package command

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestPurge(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	fake.answers("/purge", 200, `{"purged":2}`)
	fake.run(t, "purge", "a.example", "b.example", "--cache", "7f3a90c1").is(t, "2 names purged\n")
	if last := fake.last(t); last != `POST /cached_http/purge {"names":["a.example","b.example"],"cache":"7f3a90c1"}` {
		t.Error(last)
	}
	if kind := fake.asked()[0].header.Get("Content-Type"); kind != "application/json" {
		t.Error(kind)
	}
	fake.run(t, "purge", "--all", "--yes", "--json").is(t, `{"purged":2}`+"\n")
	if last := fake.last(t); last != `POST /cached_http/purge {"all":true}` {
		t.Error(last)
	}
	count := len(fake.asked())
	fake.run(t, "purge", "--all").failsWith(t, 2, "--yes")
	fake.run(t, "purge").failsWith(t, 2, "a name is missing")
	fake.run(t, "purge", "--all", "--yes", "a.example").failsWith(t, 2, "exclude each other")
	if len(fake.asked()) != count {
		t.Error(fake.last(t))
	}
}

func TestPurgeAllAsks(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	fake.answers("/caches", 200, `[{"id":"7f3a90c1","backend":"https://one.internal","cache_dir":"/d","entries":12,"disk_entries":1},
		{"id":"11223344","backend":"https://two.internal","cache_dir":"/e","entries":1},{"id":"99999999","backend":"https://three.internal"}]`)
	fake.answers("/purge", 200, `{"purged":13}`)
	ask := func(answer string) string {
		return onTerminal(t, "[y/N] ", answer, "purge", "--all", "--address", fake.address)
	}
	for answer, isYes := range map[string]bool{"y\n": true, "YES\n": true, "\n": false, "n\n": false, "yellow\n": false, "\x04": false} {
		said := ask(answer)
		for _, text := range []string{
			"7f3a90c1  https://one.internal, /d: 12 certificates in memory, 1 certificate on disk\r\n",
			"11223344  https://two.internal, /e: 1 certificate in memory, none counted on disk so far\r\n",
			"99999999  https://three.internal: 0 certificates in memory\r\n",
			"Purge everything?",
		} {
			if !strings.Contains(said, text) {
				t.Errorf("%q lacks %q", said, text)
			}
		}
		end := "nothing was purged; code 1"
		if isYes {
			end = "13 names purged; code 0"
		}
		if said = strings.ReplaceAll(said, "\r\n", "; "); !strings.Contains(said, end) {
			t.Errorf("%q: %s", answer, said)
		}
	}
	if said := ask("\x03"); !strings.Contains(said, "code 130") || strings.Contains(said, "purged") {
		t.Error(said)
	}
	purges := 0
	for _, asked := range fake.asked() {
		if asked.method == http.MethodPost {
			purges++
		}
	}
	if purges != 2 {
		t.Errorf("%d purges", purges)
	}
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	fake.HandleFunc("/cached_http/refresh", func(response http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(response, `{"name":"a.example","outcome":"found"}`)
		fmt.Fprintln(response, `{"name":"b.example","outcome":"not_modified"}`)
	})
	fake.run(t, "refresh", "a.example", "b.example").is(t, "found           a.example\nnot_modified    b.example\n")
	if last := fake.last(t); last != `POST /cached_http/refresh {"names":["a.example","b.example"]}` {
		t.Error(last)
	}
	said := fake.run(t, "refresh", "a.example", "b.example", "c.example")
	if said.code != 1 || !strings.Contains(said.err, "for 2 of 3 names only") {
		t.Error(said)
	}
	fake.run(t, "refresh").failsWith(t, 2, "a name is missing")
}

func TestRefreshThatFails(t *testing.T) {
	t.Parallel()
	const failure = `{"name":"a.example","outcome":"failed","reason":"the backend \u001b[2J answered 503"}`
	for _, c := range []struct {
		answer, out, err string
		code             int
	}{
		{failure + "\n", `failed          a.example: the backend \x1b[2J answered 503` + "\n", "", 4},
		{failure + "\n" + `{"error":"the configuration was reloaded"}` + "\n", `failed          a.example: the backend \x1b[2J answered 503` + "\n", "Error: the configuration was reloaded\n", 1},
		{`{"name":"a.exa`, "", "none of this version's", 1},
		{`["a"]`, "", "none of this version's", 1},
		{strings.Repeat(" ", maxLine+1), "", "token too long", 1},
	} {
		fake := startFake(t)
		fake.answers("/refresh", 200, c.answer)
		if said := fake.run(t, "refresh", "a.example"); said.code != c.code || said.out != c.out || !strings.Contains(said.err, c.err) {
			t.Errorf("%.80s: %+v", c.answer, said)
		}
	}
	fake := startFake(t)
	fake.answers("/refresh", 200, failure+"\n")
	if said := fake.run(t, "refresh", "a.example", "--json"); said.code != 4 || said.out != failure+"\n" {
		t.Error(said)
	}
}
