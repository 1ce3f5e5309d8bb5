package command

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// future is a time as the API sends it, and as it is shown; the half minute keeps it from ticking over.
func future(ahead time.Duration) (sent, shown string) {
	moment := time.Now().Add(ahead + 30*time.Second).UTC()
	return moment.Format(time.RFC3339), moment.Format("2006-01-02 15:04") + " (in " + span(ahead+30*time.Second) + ")"
}

func TestCaches(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	end, shown := future(76 * time.Hour)
	const bare = `{"id":"11223344","backend":"https://two.internal"}`
	full := `{"id":"7f3a90c1","backend":"https://one.internal","cache_dir":"/var/\u001bcache","entries":12345,"entry_bytes":125829120,
		"negatives":1,"failing_names":3,"breaker_open":true,"disk_entries":1,"disk_bytes":4096,"first_certificate_end":"` + end + `",
		"first_bridge_end":"` + end + `","limits":{"max_memory":268435456,"max_disk":4294967296,"max_concurrent_fetches":512}}`
	fake.answers("/caches", 200, "["+full+","+bare+"]")
	fake.run(t, "caches").is(t, strings.Join([]string{
		"cache          7f3a90c1",
		"backend        https://one.internal",
		"state          down: it is only probed, what is held is served; 3 names failing",
		"memory         12,345 certificates, 120 MiB of 256 MiB",
		`disk           1 certificate, 4.0 KiB of 4.0 GiB, in /var/\x1bcache`,
		"negatives      1 name without a certificate",
		"fetches        at most 512 at once",
		"first end      " + shown + " of a certificate in demand",
		"bridge ends    " + shown + " if refreshes go on failing",
		"",
		"cache          11223344",
		"backend        https://two.internal",
		"state          up",
		"memory         0 certificates, 0 B of 0 B",
		"negatives      0 names without a certificate",
		"fetches        at most 0 at once",
		"",
	}, "\n"))
	for _, wanted := range []string{"11223344", "https://two.internal", "https://user:password@two.internal"} {
		fake.run(t, "caches", "--json", "--cache", wanted).is(t, "["+bare+"]\n")
	}
	fake.run(t, "caches", "--cache", "deadbeef").failsWith(t, 3, "no such cache", "\n  7f3a90c1")
	fake.run(t, "caches", "more").failsWith(t, 2, `unexpected argument "more"`)
}

// pages answers with 2,500 names, a page of which is empty.
func pages(response http.ResponseWriter, request *http.Request) {
	var first, limit int
	_, _ = fmt.Sscan(request.FormValue("cursor"), &first)
	_, _ = fmt.Sscan(request.FormValue("limit"), &limit)
	if first == 1000 {
		fmt.Fprint(response, `{"names":[],"cursor":"1001"}`)
		return
	}
	var rows []string
	for number := first; number < min(first+limit, 2500); number++ {
		rows = append(rows, fmt.Sprintf(`{"name":"%04d.example","state":"fresh","more":1}`, number))
	}
	cursor := ""
	if first+limit < 2500 {
		cursor = fmt.Sprintf(`,"cursor":"%d"`, first+limit)
	}
	fmt.Fprintf(response, `{"names":[%s]%s}`, strings.Join(rows, ","), cursor)
}

func TestNamesFollowPages(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	fake.HandleFunc("/cached_http/names", pages)
	for count, arguments := range map[int][]string{
		100: {}, 7: {"--limit", "7"}, 1000: {"--limit", "1000"}, 2200: {"--limit", "2200"}, 2499: {"--all"},
	} {
		said := fake.run(t, append([]string{"names", "--json"}, arguments...)...)
		lines := strings.Split(strings.TrimSpace(said.out), "\n")
		if said.code != 0 || len(lines) != count || lines[0] != `{"name":"0000.example","state":"fresh","more":1}` {
			t.Errorf("%v: %d names, code %d: %s", arguments, len(lines), said.code, said.err)
		}
		if isAll := count == 2499; isAll == strings.Contains(said.err, "There may be more") {
			t.Errorf("%v: %s", arguments, said.err)
		}
	}
	fake.run(t, "names", "--prefix", "shop.", "--state", "stale", "--cache", "7f3a90c1", "--limit", "3")
	if last := fake.last(t); last != "GET /cached_http/names?cache=7f3a90c1&limit=3&prefix=shop.&state=stale" {
		t.Error(last)
	}
}

// The list in the order of time has no pages: where it is cut, that is said.
func TestNamesThatEndFirst(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	held := 0
	fake.HandleFunc("/cached_http/names", func(response http.ResponseWriter, request *http.Request) {
		var limit int
		_, _ = fmt.Sscan(request.FormValue("limit"), &limit)
		rows := make([]string, min(limit, held))
		for number := range rows {
			rows[number] = fmt.Sprintf(`{"name":"%04d.example","state":"fresh"}`, number)
		}
		fmt.Fprintf(response, `{"names":[%s]}`, strings.Join(rows, ","))
	})
	for _, test := range []struct {
		held, shown int
		note        string
		arguments   []string
	}{
		{20_000, 10_000, "There may be more: those that end first are listed up to 10,000 names.\n", []string{"--all"}},
		{20_000, 10_000, "There may be more: those that end first are listed up to 10,000 names.\n", []string{"--limit", "15000"}},
		{20_000, 2500, "There may be more: see --limit and --all.\n", []string{"--limit", "2500"}},
		{20_000, 100, "There may be more: see --limit and --all.\n", nil},
		{2000, 2000, "", []string{"--all"}},
		{99, 99, "", nil},
	} {
		held = test.held
		before := len(fake.asked())
		said := fake.run(t, append([]string{"names", "--state", "ending", "--json"}, test.arguments...)...)
		if lines := strings.Count(said.out, "\n"); lines != test.shown || said.err != test.note || len(fake.asked()) != before+1 {
			t.Errorf("%v: %d names, %q, %s", test.arguments, lines, said.err, fake.last(t))
		}
	}
}

func TestNamesAsTable(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	end, ends := future(89*24*time.Hour + 23*time.Hour)
	soon, soonShown := future(time.Hour)
	ago := time.Now().Add(-2*time.Hour - 30*time.Second).UTC()
	fake.answers("/names", 200, `{"names":[
		{"name":"shop.example.com","state":"fresh","not_after":"`+end+`","fresh_until":"`+soon+`","failing_since":"`+end+`"},
		{"name":"no.example","state":"negative","fresh_until":"`+soon+`"},
		{"name":"down\u001b[2J.example","state":"failing","failing_since":"`+ago.Format(time.RFC3339)+`","last_error":"the backend answered 503"},
		{"name":"bare.example","state":"disk"}]}`)
	fake.run(t, "names").is(t, strings.Join([]string{
		"STATE     TIME                                    NAME",
		"fresh     ends " + ends + "    shop.example.com",
		"negative  until " + soonShown + "   no.example",
		"failing   since " + ago.Format("2006-01-02 15:04") + ` (2 h 0 min ago)  down\x1b[2J.example: the backend answered 503`,
		"disk      -                                       bare.example",
		"",
	}, "\n"))
}

func TestNamesRefuse(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	for text, arguments := range map[string][]string{
		"--all and --limit": {"--all", "--limit", "100"},
		"1 or more":         {"--limit", "0"},
		"invalid argument":  {"--limit", "many"},
		"no state \"good\"": {"--state", "good"},
		"order of time":     {"--state", "ending", "--prefix", "a"},
		"unknown flag":      {"--frefix", "a"},
	} {
		fake.run(t, append([]string{"names"}, arguments...)...).failsWith(t, 2, text, "see caddy cached-http names --help")
	}
	if asked := fake.asked(); len(asked) > 0 {
		t.Error(asked)
	}
	fake.answers("/names", 200, `{"names":[{"name":"a.example"}],"cursor":"1"}`)
	if said := fake.run(t, "names", "--all"); said.code != 1 || !strings.Contains(said.err, "leads to itself") {
		t.Error(said)
	}
}

func TestInspect(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	fake.answers("/caches", 200, `[{"id":"7f3a90c1","backend":"https://one.internal"},{"id":"11223344","backend":"https://two.internal"},
		{"id":"99999999","backend":"https://three.internal"}]`)
	end, ends := future(89 * 24 * time.Hour)
	document := `{"name":"shop.example","cache":"7f3a90c1","backend":"https://one.internal","entries":[{"key_type":"ECDSA P-256",` +
		`"serial":"0A","sha256":"` + strings.Repeat("ab", 32) + `","dns_names":["shop.example","www.shop.example"],"issuer":"CN=R3",` +
		`"not_before":"` + end + `","not_after":"` + end + `","fetched_at":"` + end + `","state":"fresh","in":["memory","disk"]}]}`
	other := `{"name":"shop.example","cache":"11223344","backend":"https://two.internal","entries":[],"negative_until":"` + end +
		`","failing_since":"` + end + `","retry_at":"` + end + `","last_error":"no\nroute","disk_error":"the disk does not answer"}`
	fake.HandleFunc("/cached_http/names/{name}", func(response http.ResponseWriter, request *http.Request) {
		switch cache := request.FormValue("cache"); {
		case request.PathValue("name") == "a/b":
			http.Error(response, `{"error":"\"a/b\": a name has no slash"}`, http.StatusBadRequest)
		case request.PathValue("name") != "shop.example" || cache == "99999999":
			http.Error(response, `{"error":"nothing is known"}`, http.StatusNotFound)
		case cache == "7f3a90c1":
			fmt.Fprint(response, document)
		case cache == "11223344":
			fmt.Fprint(response, other)
		}
	})
	fake.run(t, "inspect", "shop.example").is(t, strings.Join([]string{
		"name           shop.example",
		"cache          7f3a90c1 https://one.internal",
		"",
		"certificate    ECDSA P-256",
		"state          fresh",
		"held in        memory and disk",
		"names          shop.example, www.shop.example",
		"issuer         CN=R3",
		"serial         0A",
		"sha256         " + strings.Repeat("ab", 32),
		"valid from     " + ends,
		"valid until    " + ends,
		"fetched        " + ends,
		"",
		"name           shop.example",
		"cache          11223344 https://two.internal",
		"negative until " + ends,
		"failing since  " + ends,
		"asked again    " + ends,
		"last error     no route",
		"disk error     the disk does not answer",
		"",
	}, "\n"))
	fake.run(t, "inspect", "shop.example", "--json").is(t, document+"\n"+other+"\n")
	fake.run(t, "inspect", "shop.example", "--json", "--cache", "https://two.internal").is(t, other+"\n")
	fake.run(t, "inspect", "other.example").failsWith(t, 3, `nothing is known of "other.example"`)
	fake.run(t, "inspect", "shop.example", "--cache", "99999999").failsWith(t, 3, "nothing is known")
	fake.run(t, "inspect", "shop.example", "--cache", "00000000").failsWith(t, 3, "no such cache")
	fake.run(t, "inspect", "a/b").failsWith(t, 2, `Error: "a/b": a name has no slash`)
	fake.run(t, "inspect", "..").failsWith(t, 2, `".." is no name`)
	fake.run(t, "inspect").failsWith(t, 2, "a name is missing")
	fake.run(t, "inspect", "a.example", "b.example").failsWith(t, 2, "unexpected argument")
}

func TestWrapped(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 30)
	for width, want := range map[int]string{0: "one two " + long + " three", -5: "one two " + long + " three", 9: "one two|" + long + "|three"} {
		if got := strings.Join(wrapped("one two  "+long+" three", width), "|"); got != want {
			t.Errorf("%d: %s", width, got)
		}
	}
}

// An answer that could not be written is no success.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full")
	}
	defer full.Close()
	fake := startFake(t)
	fake.HandleFunc("/cached_http/names", pages)
	command := prepare(t, "names", "--all", "--address", fake.address)
	var notes strings.Builder
	command.Stdout, command.Stderr = full, &notes
	_ = command.Run()
	if command.ProcessState.ExitCode() != 1 || strings.Count(notes.String(), "could not be written") != 1 || len(fake.asked()) > 1 {
		t.Errorf("code %d after %d requests: %s", command.ProcessState.ExitCode(), len(fake.asked()), notes.String())
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	fake.answers("/caches", 200, oneCache)
	fake.answers("/names", 200, `{"names":[{"name":"shop.example"},{"name":"show.example"}]}`)
	for want, arguments := range map[string][]string{
		"shop.example\nshow.example\n:4\n": {"inspect", "sh"},
		"show.example\n:4\n":               {"purge", "shop.example", "s"},
		":4\n":                             {"inspect", "shop.example", ""},
		"7f3a90c1\thttps://app.internal/certificates\n:4\n": {"names", "--cache", ""},
		strings.Join(states, "\n") + "\n:4\n":               {"names", "--state", ""},
		":0\n":                                              {"prefetch", ""},
	} {
		got := ""
		for range 5 { // who waits at a prompt gives Caddy two seconds, and the machine may be busy
			command := caddyProcess(t.Context(), t, append([]string{"__complete", Name}, arguments...)...)
			command.Env = append(command.Env, "CADDY_ADMIN="+fake.address)
			if got = finish(t, command).out; got == want {
				break
			}
		}
		if got != want {
			t.Errorf("%v: %q, want %q", arguments, got, want)
		}
	}
}
