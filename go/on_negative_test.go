package cachedhttp

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	_ "github.com/caddyserver/caddy/v2/modules/filestorage"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store/storetest"
)

// A name without a certificate under every way to configure it, each in a Caddy that really runs.
func TestNamesWithoutACertificate(t *testing.T) {
	const ask = `"on_demand": {"ask": "http://127.0.0.1:1/"},`
	const permission = `"on_demand": {"permission": {"module": "http", "endpoint": "http://127.0.0.1:1/"}},`
	for _, test := range []struct {
		name       string
		onDemand   string
		onNegative string
		passes     bool
	}{
		{"default without permission", "", "", false},
		{"default with an empty on_demand", `"on_demand": {},`, "", false},
		{"default with ask", ask, "", true},
		{"default with permission", permission, "", true},
		{"pass without permission", "", "pass", true},
		{"deny with permission", permission, "deny", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			opened := storetest.Use(t)
			getter := runCaddy(t, test.onDemand, fmt.Sprintf(`"on_negative": %q,`, test.onNegative))
			fake := (*opened)[0]
			fake.Answer("no.example", native.Answer{Status: native.StatusNegative})
			fake.Answer("127.0.0.1", native.Answer{Status: native.StatusInvalidName, Reason: "an address"})
			for name, reason := range map[string]string{"no.example": "no certificate for this name", "127.0.0.1": "an address"} {
				certificate, err := getter.GetCertificate(context.Background(), storetest.Hello(name))
				if certificate != nil {
					t.Fatal("a certificate out of nowhere")
				}
				if test.passes != (err == nil) || !test.passes && !strings.HasSuffix(err.Error(), reason) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// runCaddy starts a Caddy with the tls app alone, and returns the manager in it. The issuers are the default
// ones, of which nothing is ordered; the internal one would add its root to the machine's trust store.
func runCaddy(t *testing.T, onDemand, options string) *CertGetter {
	t.Helper()
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	if err := caddy.Run(configFor(t, onDemand, options)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx := caddy.ActiveContext()
	app, err := ctx.App("tls")
	if err != nil {
		t.Fatal(err)
	}
	return app.(*caddytls.TLS).Automation.Policies[0].Managers[0].(*CertGetter)
}

func configFor(t *testing.T, onDemand, options string) *caddy.Config {
	t.Helper()
	text := fmt.Sprintf(`{
		"admin": {"disabled": true, "config": {"persist": false}},
		"logging": {"logs": {"default": {"level": "PANIC"}}},
		"storage": {"module": "file_system", "root": %q},
		"apps": {"tls": {"automation": {%s "policies": [{
			"on_demand": true,
			"get_certificate": [{"via": "cached_http", %s "url": "http://backend.example"}]
		}]}}}
	}`, t.TempDir(), onDemand, options)
	config := new(caddy.Config)
	if err := json.Unmarshal([]byte(text), config); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestTheDefaultIsSaidOnce(t *testing.T) {
	getter, fake, logs := newGetter(t)
	fake.Answer("no.example", native.Answer{Status: native.StatusNegative})
	for range 3 {
		if _, err := getter.GetCertificate(context.Background(), storetest.Hello("no.example")); err == nil {
			t.Fatal("it passed")
		}
	}
	if lines := logs.FilterMessageSnippet("on_negative").All(); len(lines) != 1 {
		t.Errorf("%d lines", len(lines))
	}
}
