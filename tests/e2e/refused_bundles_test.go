package e2e

import (
	"bytes"
	"regexp"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// What does not hold together is not served: the handshake fails, and the log says once for which name and why.
func TestRefusedAnswers(t *testing.T) {
	t.Parallel()
	const name = "shop.example.com"
	issue := func(leaf testca.Leaf) testca.Bundle {
		if leaf.Names == nil {
			leaf.Names = []string{name}
		}
		return authority.Issue(leaf)
	}
	good, other := issue(testca.Leaf{}), issue(testca.Leaf{})
	join := func(parts ...[]byte) testbackend.Answer {
		return testbackend.Text(bytes.Join(parts, nil), "s-maxage=3600")
	}
	elsewhere := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	yesterday, tomorrow := time.Now().Add(-24*time.Hour), time.Now().Add(24*time.Hour)

	for title, test := range map[string]struct {
		answer testbackend.Answer
		reason string // what the log says, as a regular expression
	}{
		"expired":        {join(issue(testca.Leaf{NotBefore: yesterday.Add(-time.Hour), NotAfter: yesterday}).PEM()), `expired`},
		"not yet valid":  {join(issue(testca.Leaf{NotBefore: tomorrow}).PEM()), `not valid yet|not yet valid`},
		"other name":     {join(issue(testca.Leaf{Names: []string{"other.example.net"}}).PEM()), `name|cover`},
		"parent name":    {join(issue(testca.Leaf{Names: []string{"example.com", "*.shop.example.com"}}).PEM()), `name|cover`},
		"mismatched key": {join(good.CertificatesPEM(), testca.PKCS8(other.Key)), `key`},
		"encrypted key":  {join(good.CertificatesPEM(), testca.Encrypted()), `encrypted`},
		"two keys":       {join(good.PEM(), testca.PKCS8(other.Key)), `two|second|more than one|\b2\b|one private key`},
		"no key":         {join(good.CertificatesPEM()), `no private key|without .*key|private key.* missing`},
		"no certificate": {join(testca.PKCS8(good.Key)), `no certificate|without .*certificate`},
		"cut short":      {join(good.PEM()[:len(good.PEM())-20]), `cut short|END|damaged|end`},
		"HTML":           {join([]byte("<!doctype html><title>Log in</title>")), `PEM`},
		"empty":          {join(nil), `PEM|empty`},
		"huge":           {testbackend.Huge(), `more than|too (large|long)`},
		"status 404":     {testbackend.Status(404), `404`},
		"status 500":     {testbackend.Status(500), `500`},
		"redirect":       {testbackend.Redirect(elsewhere.URL() + "?server_name=" + name), `redirect`},
		"hang":           {testbackend.Hang(), `within|timeout|timed out|deadline`},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			backend := startBackend(t, test.answer)
			c := startCaddy(t, site{url: backend.URL(), options: []string{"timeout 3s"}})
			watch := startWatch()
			c.refused(name)
			if took := watch.took(); took > 6*time.Second {
				t.Errorf("the handshake took %s to fail", took)
			}
			lines := c.notable(name)
			if len(lines) != 1 {
				t.Errorf("%d lines in the log name %s", len(lines), name)
			}
			for _, line := range lines {
				if !regexp.MustCompile("(?i)" + test.reason).MatchString(line.text) {
					t.Errorf("the reason is not in: %s", line.text)
				}
			}
			c.expectNoACME()
			// It is no answer: once the backend has a good one, that is served.
			backend.Answer(name, join(good.PEM()))
			eventually(t, 30*time.Second, "the good bundle is served", func() bool {
				_, err := c.handshake(name)
				return err == nil
			})
		})
	}
	t.Cleanup(func() { // runs when all of the above are done
		if asked := len(elsewhere.Requests()); asked > 0 {
			t.Errorf("a redirect was followed %d times", asked)
		}
	})
}

// A bad answer never displaces a good one.
func TestBadAnswerKeepsTheGoodEntry(t *testing.T) {
	t.Parallel()
	const name = "shop.example.com"
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	c := startCaddy(t, site{url: backend.URL()})
	c.handshakes(name)
	backend.AnswerOthers(testbackend.Status(500))
	c.refused("new.example.com")
	c.handshakes(name)
	if count := backend.Count(name); count != 1 {
		t.Errorf("%d requests", count)
	}
}

// What backends really send is served: other orders, other line ends, other forms of the key.
func TestUnusualBundlesAreServed(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Status(204))
	c := startCaddy(t, site{url: backend.URL()})
	for label, write := range map[string]struct {
		algorithm testca.Algorithm
		text      func(testca.Bundle) []byte
	}{
		"key-first": {testca.P256, func(b testca.Bundle) []byte { return append(testca.PKCS8(b.Key), b.CertificatesPEM()...) }},
		"leaf-last": {testca.P256, func(b testca.Bundle) []byte {
			b.Chain[0], b.Chain[1] = b.Chain[1], b.Chain[0]
			return b.PEM()
		}},
		"crlf": {testca.P256, func(b testca.Bundle) []byte { return bytes.ReplaceAll(b.PEM(), []byte("\n"), []byte("\r\n")) }},
		"bom":  {testca.P256, func(b testca.Bundle) []byte { return append([]byte("\ufeff"), b.PEM()...) }},
		"blank-lines": {testca.P256, func(b testca.Bundle) []byte {
			return bytes.ReplaceAll(b.PEM(), []byte("-----END CERTIFICATE-----\n"), []byte("-----END CERTIFICATE-----\n\n\n"))
		}},
		"no-end-of-line": {testca.P256, func(b testca.Bundle) []byte { return bytes.TrimSpace(b.PEM()) }},
		"sec1":           {testca.P256, func(b testca.Bundle) []byte { return append(b.CertificatesPEM(), testca.SEC1(b.Key)...) }},
		"ec-parameters": {testca.P256, func(b testca.Bundle) []byte {
			return bytes.Join([][]byte{b.CertificatesPEM(), testca.ECParameters(), testca.SEC1(b.Key)}, nil)
		}},
		"sec1-p384": {testca.P384, func(b testca.Bundle) []byte { return append(b.CertificatesPEM(), testca.SEC1(b.Key)...) }},
		"pkcs1":     {testca.RSA2048, func(b testca.Bundle) []byte { return append(b.CertificatesPEM(), testca.PKCS1(b.Key)...) }},
		"pkcs8-rsa": {testca.RSA2048, func(b testca.Bundle) []byte { return b.PEM() }},
		"ed25519":   {testca.Ed25519, func(b testca.Bundle) []byte { return b.PEM() }},
	} {
		name := label + ".example.com"
		bundle := authority.Issue(testca.Leaf{Names: []string{"*.example.com"}, Algorithm: write.algorithm})
		backend.Answer(name, testbackend.Text(write.text(bundle), "s-maxage=3600"))
		c.handshakes(name, name)
		if count := backend.Count(name); count != 1 {
			t.Errorf("%s: %d requests", name, count)
		}
	}
}
