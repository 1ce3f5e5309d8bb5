package command

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const oneCache = `[{"id":"7f3a90c1","backend":"https://app.internal/certificates"}]`

func TestCaddyIsFoundAsByStop(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	fake.answers("/caches", 200, oneCache)

	flag := prepare(t, "caches", "--json", "--address", fake.address)
	environment := prepare(t, "caches", "--json")
	environment.Env = append(environment.Env, "CADDY_ADMIN="+fake.address)
	caddyfile := prepare(t, "caches", "--json", "--config", "Caddyfile")
	writeFile(t, caddyfile.Dir, "Caddyfile", "{\n\tadmin "+fake.address+"\n}\n")
	adapted := prepare(t, "caches", "--json", "-c", "site.conf", "-a", "caddyfile")
	writeFile(t, adapted.Dir, "site.conf", "{\n\tadmin {$PLACE}\n}\n")
	adapted.Env = append(adapted.Env, "PLACE="+fake.address)
	native := prepare(t, "caches", "--json", "--config", "caddy.json")
	writeFile(t, native.Dir, "caddy.json", `{"admin":{"listen":"`+fake.address+`"}}`)
	for _, command := range []execution{{"flag", flag}, {"environment", environment}, {"Caddyfile", caddyfile}, {"adapter", adapted}, {"JSON", native}} {
		t.Run(command.name, func(t *testing.T) {
			t.Parallel()
			finish(t, command.Cmd).is(t, oneCache+"\n")
		})
	}
}

// Caddy's own client is what its admin API expects: the Origin of a TCP address, none of a socket.
func TestHeadersAreThoseOfCaddysClient(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	fake.answers("/caches", 200, oneCache)
	fake.run(t, "caches", "--json").is(t, oneCache+"\n")
	if asked := fake.asked()[0]; asked.host != fake.address || asked.header.Get("Origin") != "http://"+fake.address {
		t.Errorf("host %q, origin %q", asked.host, asked.header.Get("Origin"))
	}

	fake, path := startFakeSocket(t)
	fake.answers("/caches", 200, oneCache)
	for _, address := range []string{"unix/" + path, "unix/" + path + "|0220"} {
		run(t, "caches", "--json", "--address", address).is(t, oneCache+"\n")
	}
	for _, asked := range fake.asked() {
		if _, sent := asked.header["Origin"]; sent || asked.host != "127.0.0.1" {
			t.Errorf("host %q, headers %v", asked.host, asked.header)
		}
	}
}

func TestNoCaddy(t *testing.T) {
	t.Parallel()
	const nobody = "127.0.0.1:1"
	said := run(t, "caches", "--address", nobody)
	said.failsWith(t, 1, "no Caddy answers at "+nobody+" (connect: connection refused): start it, or", "--address")
	if strings.Count(said.err, "\n") != 1 {
		t.Errorf("more than one sentence: %s", said.err)
	}
	run(t, "caches", "--address", "unix//nowhere/admin.sock").failsWith(t, 1, "unix//nowhere/admin.sock", "no such file")
	run(t, "prefetch", "--address", nobody).failsWith(t, 1, "no Caddy answers")
	run(t, "caches", "--config", "absent.json").failsWith(t, 1, "absent.json")
	for _, address := range []string{"localhost", "localhost:2019-2020", "fd/3", "localhost:http"} {
		run(t, "caches", "--address", address).failsWith(t, 2, "admin address")
	}
	run(t, "caches", "--address", nobody, "--config", "Caddyfile").failsWith(t, 2, "exclude")
	run(t, "caches", "--adapter", "caddyfile").failsWith(t, 2, "--config")
}

func TestCaddyWithoutTheModule(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	fake.run(t, "caches").failsWith(t, 1, "built without tls.get_certificate.cached_http")
	fake.run(t, "purge", "a.example").failsWith(t, 1, "built without")
	fake.answers("/caches", 200, `[]`)
	fake.run(t, "caches").failsWith(t, 1, "runs no cache", "get_certificate cached_http")
	for _, subcommand := range []string{"caches", "names"} {
		fake := startFake(t) // a site with the handler, where everything is without the prefix
		fake.answers("/"+subcommand, 404, `{"error":"there is nothing at this path"}`)
		fake.run(t, subcommand).failsWith(t, 1, "is not Caddy's admin API", "cached_http_api")
	}
	fake.answers("/names", 503, `{"error":"no cache is running"}`)
	fake.run(t, "names").failsWith(t, 1, "Error: no cache is running")
}

func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	for text, answer := range map[string]http.HandlerFunc{
		"HTTP 502":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"HTTP 500":     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{}`, http.StatusInternalServerError) },
		"HTTP 302":     func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"none of this": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"host not allowed": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"error":"host not allowed: x"}`, http.StatusForbidden)
		},
		"unexpected EOF": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			_, _ = w.Write([]byte("["))
		},
		"larger than 64 MiB": func(w http.ResponseWriter, _ *http.Request) { writeSpaces(w, maxDocument+1) },
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			fake := startFake(t)
			fake.HandleFunc("/cached_http/caches", answer)
			fake.run(t, "caches").failsWith(t, 1, text)
		})
	}
}

func TestSilentCaddy(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	fake.HandleFunc("/cached_http/caches", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	silent, err := connect(fake.address)
	if err != nil {
		t.Fatal(err)
	}
	silent.patience = 50 * time.Millisecond
	if _, err = silent.get(t.Context(), "/caches", nil); err == nil || !strings.Contains(err.Error(), "nothing within 50ms") {
		t.Error(err)
	}
}

// A backend's URL has no credentials there, and Caddy's log holds what it is asked.
func TestCredentialsAreNotSent(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	fake.answers("/names", 200, `{"names":[]}`)
	fake.run(t, "names", "--cache", "https://user:secret@app.internal/x?a=b").is(t, "")
	if last := fake.last(t); !strings.Contains(last, "cache=https%3A%2F%2Fapp.internal%2Fx%3Fa%3Db") || strings.Contains(last, "secret") {
		t.Error(last)
	}
	wants := map[string]string{"https://app.internal/a@b?c=d@e": "", "7f3a90c1": "", "app.internal:8080": ""} // as they are
	for _, password := range []string{"sec%ret", "sec/ret", "sec#ret", "se@cret"} {
		wants["https://user:"+password+"@app.internal/x"] = "https://app.internal/x"
		wants["user:"+password+"@app.internal"] = "https://app.internal"
	}
	for given, want := range wants {
		if want == "" {
			want = given
		}
		if got := withoutCredentials(given); got != want {
			t.Errorf("%s: %s", given, got)
		}
	}
}

func TestCacheToChoose(t *testing.T) {
	t.Parallel()
	fake := startFake(t)
	const two = `"caches":[{"id":"7f3a90c1","backend":"https://one.internal"},{"id":"11223344","backend":"https://two.internal","cache_dir":"/d"}]`
	fake.answers("/names", 400, `{"error":"there are 2 caches; choose one with cache=ID",`+two+`}`)
	fake.run(t, "names").failsWith(t, 2, "2 caches", "--cache ID", "\n  7f3a90c1  https://one.internal\n", "\n  11223344  https://two.internal, /d\n")
	fake.answers("/purge", 404, `{"error":"no such cache",`+two+`}`)
	fake.run(t, "purge", "a.example", "--cache", "deadbeef").failsWith(t, 3, "no such cache", "\n  7f3a90c1")
}

func writeFile(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeSpaces(w http.ResponseWriter, count int) {
	block := []byte(strings.Repeat(" ", 1<<20))
	for ; count > 0; count -= len(block) {
		_, _ = w.Write(block[:min(count, len(block))])
	}
}
