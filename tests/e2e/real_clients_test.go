package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// startBoth starts a Caddy whose backend has certificates of both kinds.
func startBoth(t *testing.T) (*caddy, *testbackend.Server) {
	backend := startBackend(t, testbackend.ByClient(
		testbackend.Certificate(authority, testca.P256, "s-maxage=3600"),
		testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600"),
	))
	return startCaddy(t, site{url: backend.URL()}), backend
}

// HTTP/3, cold and warm, down to the response.
func TestHTTP3(t *testing.T) {
	t.Parallel()
	c, backend := startBoth(t)
	for _, name := range []string{"a.example.com", "b.example.com", "a.example.com"} {
		transport := &http3.Transport{
			TLSClientConfig: clientConfig(name),
			Dial: func(ctx context.Context, _ string, config *tls.Config, settings *quic.Config) (*quic.Conn, error) {
				return quic.DialAddrEarly(ctx, c.address(), config, settings)
			},
		}
		client := http.Client{Transport: transport, Timeout: handshakeLimit}
		response, err := client.Get(fmt.Sprintf("https://%s:%d/", name, c.port))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		_ = transport.Close()
		if err != nil || response.Proto != "HTTP/3.0" || string(body) != "hello "+name {
			t.Errorf("%s: %s %q, %v", name, response.Proto, body, err)
		}
	}
	if asked := len(backend.Requests()); asked != 2 {
		t.Errorf("%d backend requests for 2 names", asked)
	}
}

func TestOpenSSL(t *testing.T) {
	t.Parallel()
	openssl := tool(t, "openssl")
	c, backend := startBoth(t)
	root := c.file("root.pem", authority.RootPEM())
	for _, test := range []struct {
		arguments string
		kind      string // of the signature that the server made
	}{
		{"-tls1_3", "ecdsa"},
		{"-tls1_2", "ecdsa"},
		{"-tls1_3 -sigalgs RSA-PSS+SHA256:RSA-PSS+SHA512", "rsa"},
		{"-tls1_2 -sigalgs RSA+SHA256:RSA-PSS+SHA384 -cipher ECDHE-RSA-AES128-GCM-SHA256", "rsa"},
		{"-tls1_2 -sigalgs RSA+SHA512 -cipher ECDHE-RSA-AES256-GCM-SHA384", "rsa"},
		{"-tls1_3", "ecdsa"},
	} {
		arguments := append([]string{"s_client", "-connect", c.address(), "-servername", "a.example.com", "-CAfile", root,
			"-verify_return_error", "-verify_hostname", "a.example.com"}, strings.Fields(test.arguments)...)
		output, err := runTool(t, openssl, arguments...)
		if err != nil || !strings.Contains(output, "Verify return code: 0 (ok)") {
			t.Errorf("%s: %v\n%s", test.arguments, err, lastLines(output, 5))
			continue
		}
		// "Peer signature type: rsa_pss_rsae_sha256" with newer ones, "RSA-PSS" with older ones
		_, signature, _ := strings.Cut(output, "Peer signature type: ")
		signature, _, _ = strings.Cut(signature, "\n")
		if !strings.HasPrefix(strings.ToLower(signature), test.kind) {
			t.Errorf("%s: signed with %s", test.arguments, signature)
		}
	}
	if asked := backend.Count("a.example.com"); asked != 2 {
		t.Errorf("%d backend requests for two kinds of clients", asked)
	}
}

func TestCurl(t *testing.T) {
	t.Parallel()
	curl := tool(t, "curl")
	c, backend := startBoth(t)
	root := c.file("root.pem", authority.RootPEM())
	for _, version := range []string{"--http1.1", "--tls-max 1.2", "--tlsv1.3"} {
		arguments := append([]string{"--silent", "--show-error", "--noproxy", "*", "--cacert", root,
			"--resolve", fmt.Sprintf("a.example.com:%d:127.0.0.1", c.port)}, strings.Fields(version)...)
		output, err := runTool(t, curl, append(arguments, fmt.Sprintf("https://a.example.com:%d/", c.port))...)
		if err != nil || output != "hello a.example.com" {
			t.Errorf("%s: %v, %q", version, err, output)
		}
	}
	if asked := backend.Count("a.example.com"); asked != 1 {
		t.Errorf("%d backend requests", asked)
	}
}

func tool(t *testing.T, name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s on this machine", name)
	}
	return path
}

func runTool(t *testing.T, path string, arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), handshakeLimit)
	defer cancel()
	command := exec.CommandContext(ctx, path, arguments...)
	command.WaitDelay = time.Second
	output, err := command.CombinedOutput() // its input is empty: s_client ends after the handshake
	return string(output), err
}
