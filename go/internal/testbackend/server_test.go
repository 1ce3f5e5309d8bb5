package testbackend

import (
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// What the suites rely on: bundles hold together, requests are counted, faults are faults.
func TestServerAnswersAsTold(t *testing.T) {
	authority := testca.NewAuthority()
	server := Start()
	t.Cleanup(server.Close)
	server.AnswerOthers(Certificate(authority, testca.RSA2048, "s-maxage=5"))
	server.Answer("gone.example", Status(http.StatusNoContent))
	server.Answer("both.example", ByClient(Certificate(authority, testca.P384, ""), Certificate(authority, testca.RSA2048, "")))

	get := func(query string) (*http.Response, []byte) {
		response, err := http.Get(server.URL() + "?" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response, body
	}

	response, first := get("server_name=a.example")
	if response.Header.Get("Cache-Control") != "s-maxage=5" {
		t.Errorf("headers: %v", response.Header)
	}
	pair, err := tls.X509KeyPair(first, first)
	if err != nil {
		t.Fatal(err)
	}
	if err := pair.Leaf.VerifyHostname("a.example"); err != nil {
		t.Error(err)
	}
	if _, second := get("server_name=a.example"); string(second) != string(first) {
		t.Error("a second request got another certificate")
	}
	if response, _ := get("server_name=gone.example"); response.StatusCode != http.StatusNoContent {
		t.Errorf("status %d", response.StatusCode)
	}
	if server.Count("a.example") != 2 || len(server.Requests()) != 3 {
		t.Errorf("counted %d and %d requests", server.Count("a.example"), len(server.Requests()))
	}

	for query, want := range map[string]string{
		"cipher_suites=c02f&signature_schemes=403,804":      "RSA",
		"cipher_suites=1301&signature_schemes=804":          "RSA",
		"cipher_suites=1301,c02f&signature_schemes=403,804": "ECDSA",
	} {
		_, body := get("server_name=both.example&" + query)
		if pair, err := tls.X509KeyPair(body, body); err != nil || pair.Leaf.PublicKeyAlgorithm.String() != want {
			t.Errorf("%s: want %s, error %v", query, want, err)
		}
	}
}

func TestCloseCutsWhatHangs(t *testing.T) {
	server := Start()
	server.AnswerOthers(Hang())
	failed := make(chan error, 1)
	go func() {
		_, err := http.Get(server.URL() + "?server_name=a.example")
		failed <- err
	}()
	for server.Count("a.example") == 0 {
		time.Sleep(time.Millisecond)
	}
	server.Close()
	if err := <-failed; err == nil {
		t.Error("a hanging request was answered")
	}
}
