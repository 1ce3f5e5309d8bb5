package cachedhttp

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// useFakeEngines makes Provision open fake engines, which it returns in the order of opening.
func useFakeEngines(t *testing.T) *[]*fakeEngine {
	t.Helper()
	var opened []*fakeEngine
	before := openEngine
	openEngine = func(settings []byte) (engine, error) {
		fake := newFakeEngine()
		fake.settings = []string{string(settings)}
		opened = append(opened, fake)
		return fake, nil
	}
	t.Cleanup(func() { openEngine = before })
	return &opened
}

func provision(t testing.TB, getter *CertGetter) error {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	return getter.Provision(ctx)
}

// provisioned is a module instance as Caddy makes it, cleaned up with the test.
func provisioned(t testing.TB, text string) *CertGetter {
	t.Helper()
	getter := new(CertGetter)
	if err := caddy.StrictUnmarshalJSON([]byte(text), getter); err != nil {
		t.Fatal(err)
	}
	if err := provision(t, getter); err != nil {
		t.Fatal(err)
	}
	return getter
}

func TestProvisionPassesTheSettingsOn(t *testing.T) {
	opened := useFakeEngines(t)
	folder := t.TempDir()
	authority, certificate, private := filepath.Join(folder, "ca"), filepath.Join(folder, "cert"), filepath.Join(folder, "key")
	for path, text := range map[string]string{authority: "AUTHORITY", certificate: "CERTIFICATE", private: "KEY"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TOKEN", "s3cret")
	t.Setenv("FOLDER", folder)
	getter := provisioned(t, `{
		"url": "https://user:{env.TOKEN}@Backend.example:8443/certs?tenant={env.TOKEN}",
		"ttl": "1d", "negative_ttl": 1500000000, "timeout": "3s",
		"stale_if_error": -1, "refresh_ahead": "off", "cache_dir": "{env.FOLDER}/cache/",
		"max_memory": "1GiB", "max_negative": 1048576, "max_concurrent_fetches": 8,
		"header": {"X-Token": ["{env.TOKEN}", "two"], "Accept": ["text/plain"]},
		"trusted_ca": ["{env.FOLDER}/ca"],
		"client_certificate": {"certificate": "{env.FOLDER}/cert", "key": "{env.FOLDER}/key"}
	}`)
	defer getter.Cleanup()
	fake := (*opened)[0]
	wantEngine := `{"backend":"https://backend.example:8443/certs?sha256=HEX","cache_dir":"` + folder + `/cache",` +
		`"max_memory":1073741824,"max_negative_memory":1048576,"max_concurrent_fetches":8}`
	digest := fake.settings[0][strings.Index(fake.settings[0], "sha256=")+7:][:16]
	if strings.Replace(fake.settings[0], digest, "HEX", 1) != wantEngine {
		t.Errorf("engine: %s", fake.settings[0])
	}
	if strings.Contains(fake.settings[0], "s3cret") {
		t.Error("the engine's name has a secret")
	}
	wantInstance := `{"url":"https://user:s3cret@Backend.example:8443/certs?tenant=s3cret","ttl_ms":86400000,` +
		`"default_ttl_ms":3600000,"negative_ttl_ms":1500,"timeout_ms":3000,"stale_if_error_ms":0,"refresh_ahead":false,` +
		`"headers":[["Accept","text/plain"],["X-Token","s3cret"],["X-Token","two"]],` +
		`"trusted_ca_pem":"AUTHORITY\n","client_certificate_pem":"CERTIFICATE\nKEY\n"}`
	if fake.settings[1] != wantInstance {
		t.Errorf("instance: %s", fake.settings[1])
	}
}

func TestDefaults(t *testing.T) {
	opened := useFakeEngines(t)
	getter := provisioned(t, `{"url": "http://backend.example"}`)
	defer getter.Cleanup()
	settings := (*opened)[0].settings
	if settings[0] != `{"backend":"http://backend.example/","max_memory":268435456,"max_negative_memory":16777216,"max_concurrent_fetches":64}` {
		t.Error(settings[0])
	}
	if settings[1] != `{"url":"http://backend.example","default_ttl_ms":3600000,"negative_ttl_ms":60000,"timeout_ms":10000,"stale_if_error_ms":86400000,"refresh_ahead":true}` {
		t.Error(settings[1])
	}
}

func TestAReloadKeepsTheEngine(t *testing.T) {
	opened := useFakeEngines(t)
	old := provisioned(t, `{"url": "http://user:one@backend.example/x", "max_memory": 1000}`)
	renewed := provisioned(t, `{"url": "http://user:two@BACKEND.example/x", "max_memory": 2000, "ttl": "1h"}`)
	other := provisioned(t, `{"url": "http://backend.example/y"}`)
	if len(*opened) != 2 || old.lease.sharedEngine != renewed.lease.sharedEngine || other.lease.sharedEngine == old.lease.sharedEngine {
		t.Fatalf("%d engines", len(*opened))
	}
	first := (*opened)[0]
	if len(first.resized) != 1 || !strings.Contains(first.resized[0], `"max_memory":2000`) {
		t.Errorf("resized: %v", first.resized)
	}
	if old.lease.newestHost().logger != renewed.logger {
		t.Error("the engine does not log where the newest configuration says")
	}
	for range 2 { // a second one changes nothing
		if err := old.Cleanup(); err != nil {
			t.Fatal(err)
		}
	}
	if isClosed(first) {
		t.Fatal("the engine was closed under the newer configuration")
	}
	if err := errors.Join(renewed.Cleanup(), other.Cleanup()); err != nil {
		t.Fatal(err)
	}
	if !isClosed(first) || !isClosed((*opened)[1]) {
		t.Error("an engine is still open")
	}
}

func TestTheGreatestLimitsApply(t *testing.T) {
	opened := useFakeEngines(t)
	big := provisioned(t, `{"url": "http://backend.example", "max_memory": 2000, "max_negative": 10}`)
	small := provisioned(t, `{"url": "http://backend.example", "max_memory": 1000, "max_negative": 20}`)
	last := func() string {
		resized := (*opened)[0].resized
		if len(resized) == 0 {
			return ""
		}
		return resized[len(resized)-1]
	}
	// As long as both are there: the newer may be of a configuration that is refused in the end.
	if settings := last(); !strings.Contains(settings, `"max_memory":2000,"max_negative_memory":20,`) {
		t.Error(settings)
	}
	if err := big.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if settings := last(); !strings.Contains(settings, `"max_memory":1000,"max_negative_memory":20,`) {
		t.Error(settings)
	}
	if err := small.Cleanup(); err != nil || len((*opened)[0].resized) != 2 {
		t.Error(err, (*opened)[0].resized)
	}
}

func TestOneConfigurationMustNotMixWhatTheBackendTellsDifferentClients(t *testing.T) {
	useFakeEngines(t)
	getter := func(text string, app *caddytls.TLS) error {
		getter := new(CertGetter)
		if err := caddy.StrictUnmarshalJSON([]byte(text), getter); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = getter.Cleanup() })
		ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
		defer cancel()
		getter.logger = ctx.Logger()
		getter.host = &host{context: ctx, logger: getter.logger, getter: getter}
		getter.tlsApp = app
		getter.applyDefaults()
		return getter.openInstance()
	}
	one, next := new(caddytls.TLS), new(caddytls.TLS)
	const first = `{"url": "http://backend.example", "header": {"X-Account": ["a"]}}`
	for _, test := range []struct {
		text    string
		app     *caddytls.TLS
		refused bool
	}{
		{first, one, false},
		{first, one, false},
		{`{"url": "http://backend.example", "header": {"X-Account": ["b"]}}`, one, true},
		{`{"url": "http://user@backend.example", "header": {"X-Account": ["a"]}}`, one, true},
		{`{"url": "http://backend.example?account=b", "header": {"X-Account": ["b"]}}`, one, false},
		// Credentials may change with a reload.
		{`{"url": "http://backend.example", "header": {"X-Account": ["c"]}}`, next, false},
	} {
		if err := getter(test.text, test.app); errors.Is(err, errOtherIdentity) != test.refused || err != nil && !test.refused {
			t.Errorf("%s: %v", test.text, err)
		}
	}
}

func TestAnEngineOutlivesTheHandshakesOfItsConfiguration(t *testing.T) {
	opened := useFakeEngines(t)
	var end func()
	synchronous := later
	defer func() { later = synchronous }()
	later = func(delay time.Duration, giveBack func()) {
		if delay != 5*time.Second+3*time.Second {
			t.Errorf("given back after %v", delay)
		}
		end = giveBack
	}
	getter := provisioned(t, `{"url": "http://backend.example", "timeout": "3s"}`)
	if err := getter.Cleanup(); err != nil || isClosed((*opened)[0]) {
		t.Fatal("closed under handshakes of the configuration that went", err)
	}
	// A configuration that comes back in time finds its certificates.
	again := provisioned(t, `{"url": "http://backend.example"}`)
	end()
	if len(*opened) != 1 || isClosed((*opened)[0]) {
		t.Fatal("closed under the newer configuration")
	}
	later = synchronous
	if err := again.Cleanup(); err != nil || !isClosed((*opened)[0]) {
		t.Fatal("still open", err)
	}
}

func TestAFailedProvisionLeavesNothingBehind(t *testing.T) {
	opened := useFakeEngines(t)
	fakes := openEngine
	openEngine = func([]byte) (engine, error) {
		return nil, &native.Error{Status: native.StatusDirectoryRejected, Message: "/x is open to others; it needs mode 0700"}
	}
	getter := &CertGetter{URL: "http://backend.example", CacheDir: "/x"}
	err := provision(t, getter)
	if err == nil || !strings.Contains(err.Error(), "it needs mode 0700") {
		t.Fatal(err)
	}
	if err := getter.Cleanup(); err != nil {
		t.Fatal(err)
	}
	openEngine = fakes
	again := provisioned(t, `{"url": "http://backend.example", "cache_dir": "/x"}`)
	if len(*opened) != 1 {
		t.Fatal("not opened again")
	}
	if err := again.Cleanup(); err != nil || !isClosed((*opened)[0]) {
		t.Fatal("still open", err)
	}
}

func TestProvisionRefuses(t *testing.T) {
	opened := useFakeEngines(t)
	t.Setenv("EMPTY", "")
	t.Setenv("SECRET", "s3cret")
	t.Setenv("BAD", "s3cret\n")
	for text, want := range map[string]string{
		`{}`:                                 "the URL of the backend is missing",
		`{"url": "ftp://s3cret.example"}`:    "must start with http:// or https://",
		`{"url": "http://"}`:                 "name a host",
		`{"url": "http://u:s3cret@a:port/"}`: "can't be parsed",
		`{"url": "{env.SECRET}"}`:            "must start with http:// or https://",
		`{"url": "http://{env.EMPTY}/"}`:     "url: evaluated placeholder",
		`{"url": "http://a/", "ttl": "1h", "default_ttl": "1h"}`:          "contradict each other",
		`{"url": "http://a/", "timeout": -1}`:                             "timeout: -1ns is too short",
		`{"url": "http://a/", "on_negative": "drop"}`:                     `"drop" is unknown; pass and deny are allowed`,
		`{"url": "http://a/", "max_concurrent_fetches": -2}`:              "1 to 1024 are allowed",
		`{"url": "http://a/", "header": {"X Y": ["s3cret"]}}`:             `"X Y" is not the name of a header field`,
		`{"url": "http://a/", "header": {"X": ["{env.BAD}"]}}`:            "the value of X has characters",
		`{"url": "http://a/", "header": {"te": ["s3cret"]}}`:              "te can't be set",
		`{"url": "http://a/", "trusted_ca": ["/nowhere/ca"]}`:             "trusted_ca: stat /nowhere/ca",
		`{"url": "http://a/", "trusted_ca": ["/dev/zero"]}`:               "is not a file",
		`{"url": "http://a/", "client_certificate": {"key": "/nowhere"}}`: "needs two paths",
	} {
		getter := new(CertGetter)
		if err := json.Unmarshal([]byte(text), getter); err != nil {
			t.Fatal(text, err)
		}
		err := provision(t, getter)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", text, err)
		}
		if err := getter.Cleanup(); err != nil {
			t.Error(err)
		}
	}
	if len(*opened) != 0 {
		t.Errorf("%d engines opened", len(*opened))
	}
	for _, text := range []string{`{"url":"http://a/","tll":1}`, `{"max_memory":"lots"}`, `{"max_memory":-1}`, `{"max_memory":true}`} {
		if err := caddy.StrictUnmarshalJSON([]byte(text), new(CertGetter)); err == nil {
			t.Errorf("%s was read", text)
		}
	}
}

func TestDestructGivesUpOnAnEngineThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeEngine()
		shared := newSharedEngine(hangingEngine{fake}, "http://backend.example/")
		start := time.Now()
		if err := shared.Destruct(); err == nil || time.Since(start) != drainTimeout {
			t.Error(err, time.Since(start))
		}
		close(fake.done)
		<-shared.drained
	})
}

type hangingEngine struct{ *fakeEngine }

func (hangingEngine) Close() error { return nil }

func isClosed(fake *fakeEngine) bool {
	select {
	case <-fake.done:
		return true
	default:
		return false
	}
}
