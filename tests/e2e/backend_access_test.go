package e2e

import (
	"bytes"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// Credentials reach the backend, written out, from the environment, or in the URL, and no log.
func TestCredentialsReachTheBackend(t *testing.T) {
	t.Parallel()
	fromEnvironment, written, password := plant("eiXah9ohGhaeph4a"), plant("Ohn4eequaeTh6oof"), plant("aeM7quahpheeNg3i")
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	c := startCaddy(t, site{url: backend.URL(), options: []string{
		`header Authorization "Bearer {env.E2E_TOKEN}"`,
		"header X-Second " + written,
	}}, "E2E_TOKEN="+fromEnvironment)
	c.handshakes("a.example.com")
	c.reload(site{url: strings.Replace(backend.URL(), "//", "//caddy:"+password+"@", 1)})
	c.handshakes("b.example.com")

	requests := backend.Requests()
	if len(requests) != 2 {
		t.Fatalf("%d requests", len(requests))
	}
	if requests[0].Header.Get("Authorization") != "Bearer "+fromEnvironment || requests[0].Header.Get("X-Second") != written {
		t.Errorf("the headers did not arrive")
	}
	if !strings.HasPrefix(requests[1].Header.Get("Authorization"), "Basic ") || requests[1].Header.Get("X-Second") != "" {
		t.Errorf("the URL's credentials did not arrive, or the old header did")
	}
}

// A name that failed for want of a token is asked for again as soon as a reload brings the token.
func TestANewTokenIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	token := plant("ooGh4aec9aeng7Ee")
	certificate := testbackend.Certificate(authority, testca.P256, "s-maxage=3600")
	backend := startBackend(t, func(response http.ResponseWriter, request *http.Request, name string) {
		if request.Header.Get("X-Token") != token {
			response.WriteHeader(http.StatusUnauthorized)
			return
		}
		certificate(response, request, name)
	})
	c := startCaddy(t, site{url: backend.URL(), options: []string{"header X-Token old"}})
	for range 5 { // so that the back-off has grown
		c.refused("a.example.com")
		time.Sleep(300 * time.Millisecond)
	}
	c.reload(site{url: backend.URL(), options: []string{"header X-Token " + token}})
	c.handshakes("a.example.com", "b.example.com")
}

// A backend that isn't there, or never answers: the handshake fails in time, and the log names host and cause but no
// credentials.
func TestBackendDown(t *testing.T) {
	t.Parallel()
	hanging := startBackend(t, testbackend.Hang())
	for title, test := range map[string]struct {
		address string
		causes  []string
	}{
		"refused":      {"127.0.0.1:1", []string{"refused"}},
		"hanging":      {hanging.Address(), []string{"within", "timed out", "timeout"}},
		"no such host": {"backend.invalid", []string{"resolve", "lookup", "host", "name"}},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			password := plant("wae1Aechoo0eGhei" + strings.ReplaceAll(title, " ", ""))
			url := "http://caddy:" + password + "@" + test.address + "/certificates?key=" + plant("query"+password)
			c := startCaddy(t, site{url: url, options: []string{"timeout 2s"}})
			watch := startWatch()
			c.refused("a.example.com")
			if took := watch.took(); took > 5*time.Second {
				t.Errorf("the handshake took %s to fail", took)
			}
			lines := c.notable("a.example.com")
			if len(lines) != 1 || !strings.Contains(lines[0].text, test.address) || !containsAny(lines[0].text, test.causes) {
				t.Errorf("host and cause are not in: %v", lines)
			}
			c.expectNoACME()
		})
	}
}

// A stopped backend does not touch names that are known.
func TestKnownNamesOutliveTheBackend(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	c := startCaddy(t, site{url: backend.URL()})
	c.handshakes("a.example.com", "b.example.com")
	backend.Close()
	c.handshakes("a.example.com", "b.example.com", "a.example.com")
	c.refused("c.example.com")
}

// An https backend with an authority of its own, which may want to know who asks.
func TestPrivateBackend(t *testing.T) {
	t.Parallel()
	open := testbackend.StartTLS(authority, false)
	t.Cleanup(open.Close)
	guarded := testbackend.StartTLS(authority, true)
	t.Cleanup(guarded.Close)
	for _, backend := range []*testbackend.Server{open, guarded} {
		backend.AnswerOthers(testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	}
	c := prepareCaddy(t)
	client := authority.Issue(testca.Leaf{Names: []string{"caddy.internal"}})
	trust := "trusted_ca " + c.file("root.pem", authority.RootPEM())
	show := "client_certificate " + c.file("client.pem", client.CertificatesPEM()) + " " +
		c.file("client-key.pem", testca.PKCS8(client.Key))

	c.start(site{url: open.URL(), options: []string{trust}})
	c.handshakes("a.example.com", "a.example.com")
	c.reload(site{url: guarded.URL(), options: []string{trust, show}})
	c.handshakes("b.example.com", "b.example.com")
	if open.Count("a.example.com") != 1 || guarded.Count("b.example.com") != 1 {
		t.Errorf("%d and %d requests", open.Count("a.example.com"), guarded.Count("b.example.com"))
	}
	if requests := guarded.Requests(); len(requests) == 0 || !requests[0].HasProof {
		t.Error("the client's certificate was not shown")
	}

	// Without them there is no certificate, and the log says why.
	c.reload(site{url: open.URL()})
	c.refused("untrusted.example.com")
	c.reload(site{url: guarded.URL(), options: []string{trust}})
	c.refused("unproven.example.com")
	for _, name := range []string{"untrusted.example.com", "unproven.example.com"} {
		if lines := c.notable(name, "certificate"); len(lines) != 1 {
			t.Errorf("%d lines say why %s failed", len(lines), name)
		}
	}
}

// Keys travel here: neither redirects nor the environment's proxy lead them elsewhere.
func TestEnvironmentProxyIsNotUsed(t *testing.T) {
	t.Parallel()
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	used := make(chan struct{}, 1)
	go func() {
		if connection, err := proxy.Accept(); err == nil {
			used <- struct{}{}
			_ = connection.Close()
		}
	}()
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	address := "http://" + proxy.Addr().String()
	c := startCaddy(t, site{url: backend.URL()}, "HTTP_PROXY="+address, "http_proxy="+address, "ALL_PROXY="+address, "all_proxy="+address)
	c.handshakes("a.example.com")
	select {
	case <-used:
		t.Error("the proxy was used")
	default:
	}
}

// With debug logging a handshake leaves many lines: none has the bundle in it.
func TestNoBundleInDebugLog(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600"))
	c := startCaddy(t, site{url: backend.URL()})
	c.handshakes("a.example.com")
	text := []byte(c.logText())
	if !bytes.Contains(text, []byte(`"level":"debug"`)) {
		t.Error("debug logging is off: the scan would see nothing")
	}
	if place := secretIn(text, authority.Secrets()); place != "" {
		t.Error(place)
	}
}
