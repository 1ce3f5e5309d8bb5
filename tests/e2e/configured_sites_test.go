package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// A Caddyfile with a site of its own beside the catch-all: the adapter gives both one policy, so that the manager is
// asked about the site's name, too. Caddy gets its certificate all the same, as with the stock manager, whatever the
// backend says; here from its internal authority.
func TestSitesThatTheCaddyfileNames(t *testing.T) {
	t.Parallel()
	const admin, shop = "admin.example.com", "shop.example.com"
	for title, test := range map[string]struct {
		getter  string
		options []string
		global  []string
		others  testbackend.Answer
		madeUp  bool // a made-up name gets a certificate
	}{
		"stock":                         {"http", nil, nil, testbackend.Status(http.StatusNoContent), true},
		"default":                       {"", nil, nil, testbackend.Status(http.StatusNoContent), false},
		"deny":                          {"", []string{"on_negative deny"}, nil, testbackend.Status(http.StatusNoContent), false},
		"permission cached_http":        {"", nil, []string{"on_demand_tls {", "\tpermission cached_http", "}"}, testbackend.Status(http.StatusNoContent), false},
		"a backend that fails":          {"", nil, nil, testbackend.Status(http.StatusInternalServerError), false},
		"permission, and it fails":      {"", nil, []string{"on_demand_tls {", "\tpermission cached_http", "}"}, testbackend.Status(http.StatusInternalServerError), false},
		"a backend that doesn't answer": {"", []string{"timeout 2s"}, nil, testbackend.Hang(), false},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			backend := startBackend(t, test.others)
			backend.Answer(shop, testbackend.Certificate(authority, testca.P256, "s-maxage=600"))
			c := prepareCaddy(t)
			adapted := c.adapted(site{
				getter: test.getter, url: backend.URL(), options: test.options, global: test.global, noCA: true,
				sites: "https://" + admin + ":PORT {\n\tbind 127.0.0.1\n\trespond hello\n}\n",
			})
			// With an issuer in the Caddyfile, the adapter would not make one policy of both.
			const policies = `"policies":[{"get_certificate"`
			if !strings.Contains(adapted, policies) || strings.Contains(adapted, "subjects") {
				t.Fatal("the site has a policy of its own: ", adapted)
			}
			adapted = strings.Replace(adapted, policies, `"policies":[{"issuers":[{"module":"internal"}],"get_certificate"`, 1)
			c.serve(c.file("config.json", []byte(adapted)))
			for _, name := range []string{admin, "ADMIN.example.com"} {
				if _, err := c.handshake(name, c.trustsLocalAuthority); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			c.handshakes(shop)
			for _, name := range []string{"made-up.example.com", "admin.example.com.made-up.example.com", "single"} {
				if _, err := c.handshake(name, c.trustsLocalAuthority); (err == nil) != test.madeUp {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// trustsLocalAuthority makes a client trust what Caddy issues itself.
func (c *caddy) trustsLocalAuthority(config *tls.Config) {
	var root []byte
	eventually(c.t, startLimit, "Caddy has an authority", func() (found bool) {
		var err error
		root, err = os.ReadFile(c.folder + "/storage/pki/authorities/local/root.crt")
		return err == nil
	})
	config.RootCAs = x509.NewCertPool()
	config.RootCAs.AppendCertsFromPEM(root)
}
