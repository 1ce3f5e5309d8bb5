package cachedhttp

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
	"github.com/cached-http/caddy-cached-http/go/internal/store/storetest"
)

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

// A reload must not accept what the next start would reject, though the cache is open already.
func TestAReloadRejectsAFolderThatTheNextStartWould(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "cache")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf(`{"url": "http://backend.example", "cache_dir": %q}`, folder)
	running := provisioned(t, options)
	defer func() { _ = running.Cleanup() }()
	if err := provisioned(t, options).Cleanup(); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(folder, 0o755); err != nil { // #nosec G302 -- that is what is rejected
		t.Fatal(err)
	}
	reloaded := new(CertGetter)
	if err := caddy.StrictUnmarshalJSON([]byte(options), reloaded); err != nil {
		t.Fatal(err)
	}
	if err := provision(t, reloaded); err == nil || !strings.Contains(err.Error(), "cache_dir") && !strings.Contains(err.Error(), folder) {
		t.Error(err)
	}
	if err := reloaded.Cleanup(); err != nil {
		t.Error(err)
	}
}

func TestProvisionPassesTheSettingsOn(t *testing.T) {
	opened := storetest.Use(t)
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
		"stale_if_error": -1, "refresh_ahead": "off", "share_names": "on", "cache_dir": "{env.FOLDER}/cache/",
		"max_disk": "2GiB", "max_memory": "1GiB", "max_negative_memory": 1048576, "max_concurrent_fetches": 8,
		"header": {"X-Token": ["{env.TOKEN}", "two"], "Accept": ["text/plain"]},
		"trusted_ca": ["{env.FOLDER}/ca"],
		"client_certificate": {"certificate": "{env.FOLDER}/cert", "key": "{env.FOLDER}/key"}
	}`)
	defer getter.Cleanup()
	fake := (*opened)[0]
	wantEngine := `{"backend":"https://backend.example:8443/certs?sha256=HEX","cache_dir":"` + folder + `/cache",` +
		`"max_disk":2147483648,"max_memory":1073741824,"max_negative_memory":1048576,"max_concurrent_fetches":8}`
	digest := fake.Settings[0][strings.Index(fake.Settings[0], "sha256=")+7:][:16]
	if strings.Replace(fake.Settings[0], digest, "HEX", 1) != wantEngine {
		t.Errorf("engine: %s", fake.Settings[0])
	}
	if strings.Contains(fake.Settings[0], "s3cret") {
		t.Error("the engine's name has a secret")
	}
	wantInstance := `{"url":"https://user:s3cret@Backend.example:8443/certs?tenant=s3cret","ttl_ms":86400000,` +
		`"default_ttl_ms":3600000,"negative_ttl_ms":1500,"timeout_ms":3000,"stale_if_error_ms":0,"refresh_ahead":false,"share_names":true,` +
		`"headers":[["Accept","text/plain"],["X-Token","s3cret"],["X-Token","two"]],` +
		`"trusted_ca_pem":"AUTHORITY\n","client_certificate_pem":"CERTIFICATE\nKEY\n"}`
	if fake.Settings[1] != wantInstance {
		t.Errorf("instance: %s", fake.Settings[1])
	}
}

func TestDefaults(t *testing.T) {
	opened := storetest.Use(t)
	getter := provisioned(t, `{"url": "http://backend.example"}`)
	defer getter.Cleanup()
	settings := (*opened)[0].Settings
	if settings[0] != `{"backend":"http://backend.example/","max_disk":4294967296,"max_memory":268435456,"max_negative_memory":16777216,"max_concurrent_fetches":512}` {
		t.Error(settings[0])
	}
	if settings[1] != `{"url":"http://backend.example","default_ttl_ms":3600000,"negative_ttl_ms":60000,"timeout_ms":10000,"stale_if_error_ms":86400000,"refresh_ahead":true}` {
		t.Error(settings[1])
	}
}

func TestAFailedProvisionLeavesNothingBehind(t *testing.T) {
	opened := storetest.Use(t)
	fakes := store.OpenEngine
	store.OpenEngine = func([]byte) (store.Engine, error) {
		return nil, &native.Error{Status: native.StatusDirectoryRejected, Message: "/x is open to others; it needs mode 0700"}
	}
	getter := &CertGetter{Getter: config.Getter{URL: "http://backend.example", CacheDir: "/x"}}
	err := provision(t, getter)
	if err == nil || !strings.Contains(err.Error(), "it needs mode 0700") {
		t.Fatal(err)
	}
	if err := getter.Cleanup(); err != nil {
		t.Fatal(err)
	}
	store.OpenEngine = fakes
	again := provisioned(t, `{"url": "http://backend.example", "cache_dir": "/x"}`)
	if len(*opened) != 1 {
		t.Fatal("not opened again")
	}
	if err := again.Cleanup(); err != nil || !(*opened)[0].IsClosed() {
		t.Fatal("still open", err)
	}
}

func TestProvisionRefuses(t *testing.T) {
	opened := storetest.Use(t)
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
		`{"url": "http://a/", "max_disk": "1GiB"}`:                        "cache_dir holds, which is missing",
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

// Caddy says when a configuration runs, without a handshake; one that is only validated never does.
func TestALeaseRunsWithItsConfiguration(t *testing.T) {
	storetest.Use(t)
	getter := runCaddy(t, "", "")
	running := func() bool {
		leases := store.RunningLeases()
		return len(leases) == 1 && leases[0] == getter.lease
	}
	if !running() {
		t.Errorf("its state is %v", getter.lease.State())
	}
	if err := caddy.Validate(configFor(t, "", "")); err != nil {
		t.Fatal(err)
	}
	if !running() {
		t.Error("validating has changed who runs")
	}
}
