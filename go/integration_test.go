package cachedhttp

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
	"github.com/cached-http/caddy-cached-http/go/internal/store/storetest"
	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// These tests take the whole path but Caddy's own: an HTTP backend, the native engine, and TLS over loopback.

func TestTwoHandshakesCostOneRequest(t *testing.T) {
	backend, server := stack(t, "")
	for index, kind := range testca.Algorithms {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			name := fmt.Sprintf("name%d-%x.example", index, version)
			backend.Keep(name, backend.Bundle(kind, name), "s-maxage=60")
			for range 2 {
				if err := server.handshake(name, func(config *tls.Config) { config.MaxVersion = version }); err != nil {
					t.Errorf("%s, %x: %v", kind, version, err)
				}
			}
			expectRequests(t, backend, name, 1)
		}
	}
}

func TestARealHitTakesNoMemory(t *testing.T) {
	backend, server := stack(t, "")
	backend.Keep("a.example", backend.Bundle(testca.P256, "a.example"), "s-maxage=60")
	hello := storetest.Hello("a.example")
	for range 2 {
		if _, err := server.getter.GetCertificate(context.Background(), hello); err != nil {
			t.Fatal(err)
		}
	}
	allocations := testing.AllocsPerRun(1000, func() {
		if certificate, err := server.getter.GetCertificate(context.Background(), hello); certificate == nil {
			t.Fatal(err)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func TestTwoHundredClientsAtOnce(t *testing.T) {
	const clients = 200
	backend, server := stack(t, "")
	bundle := backend.Bundle(testca.P256, "slow.example")
	backend.Answer("slow.example", func(response http.ResponseWriter, _ *http.Request, _ string) {
		time.Sleep(500 * time.Millisecond)
		_, _ = response.Write(bundle)
	})
	results := make(chan error, clients)
	for range clients {
		go func() { results <- server.handshake("slow.example") }()
	}
	for range clients {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	expectRequests(t, backend, "slow.example", 1)
}

func TestAClientThatLeavesDoesNotStopTheFetch(t *testing.T) {
	backend, server := stack(t, "")
	bundle := backend.Bundle(testca.P256, "slow.example")
	backend.Answer("slow.example", func(response http.ResponseWriter, _ *http.Request, _ string) {
		time.Sleep(400 * time.Millisecond)
		_, _ = response.Write(bundle)
	})
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	dialer := &tls.Dialer{Config: &tls.Config{ServerName: "slow.example"}}
	if _, err := dialer.DialContext(ctx, "tcp", server.address); err == nil {
		t.Fatal("it did not leave")
	}
	if err := server.handshake("slow.example"); err != nil {
		t.Fatal(err)
	}
	expectRequests(t, backend, "slow.example", 1)
}

func TestAnUnknownNameCostsOneRequest(t *testing.T) {
	backend, server := stack(t, "")
	for range 3 {
		if _, err := server.getter.GetCertificate(context.Background(), storetest.Hello("no.example")); err == nil ||
			!strings.Contains(err.Error(), "has no certificate for this name") {
			t.Fatal(err)
		}
	}
	expectRequests(t, backend, "no.example", 1)
}

func TestAnAnswerThatMustNotBeKeptIsServedEachTime(t *testing.T) {
	backend, server := stack(t, "")
	backend.Keep("once.example", backend.Bundle(testca.P256, "once.example"), "no-store")
	for range 3 {
		if err := server.handshake("once.example"); err != nil {
			t.Fatal(err)
		}
	}
	expectRequests(t, backend, "once.example", 3)
}

func TestAClientWithoutECDSAGetsAnotherCertificate(t *testing.T) {
	backend, server := stack(t, "")
	modern, legacy := backend.Bundle(testca.P256, "a.example"), backend.Bundle(testca.RSA2048, "a.example")
	backend.Answer("a.example", func(response http.ResponseWriter, request *http.Request, _ string) {
		if strings.Contains(request.URL.Query().Get("cipher_suites"), "c02b") {
			_, _ = response.Write(modern)
		} else {
			_, _ = response.Write(legacy)
		}
	})
	for range 2 {
		for _, suite := range []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256} {
			err := server.handshake("a.example", func(config *tls.Config) {
				config.MaxVersion = tls.VersionTLS12
				config.CipherSuites = []uint16{suite}
			})
			if err != nil {
				t.Errorf("%s: %v", tls.CipherSuiteName(suite), err)
			}
		}
	}
	expectRequests(t, backend, "a.example", 2)
}

func TestABundleThatDoesNotHoldTogether(t *testing.T) {
	backend, server := stack(t, "")
	bundle := backend.Bundle(testca.P256, "a.example")
	other := backend.Bundle(testca.P256, "a.example")
	cut := bytes.Index(bundle, []byte("-----BEGIN PRIVATE KEY"))
	otherCut := bytes.Index(other, []byte("-----BEGIN PRIVATE KEY"))
	backend.Keep("a.example", append(bundle[:cut:cut], other[otherCut:]...), "")
	backend.Keep("b.example", other, "")
	for name, reason := range map[string]string{"a.example": "key", "b.example": "name"} {
		_, err := server.getter.GetCertificate(context.Background(), storetest.Hello(name))
		if err == nil || !strings.Contains(err.Error(), reason) || strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestABackendThatIsNotThere(t *testing.T) {
	getter := provisioned(t, `{"url": "http://user:s3cret@127.0.0.1:1/?token=s3cret", "timeout": "2s"}`)
	defer getter.Cleanup()
	start := time.Now()
	_, err := getter.GetCertificate(context.Background(), storetest.Hello("a.example"))
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Error(took)
	}
}

func TestARestartRefetchesNothing(t *testing.T) {
	backend := testbackend.New(t)
	backend.Keep("a.example", backend.Bundle(testca.P256, "a.example"), "s-maxage=60")
	folder := filepath.Join(t.TempDir(), "cache")
	options := fmt.Sprintf(`, "cache_dir": %q`, folder)
	for range 3 {
		getter := provisioned(t, fmt.Sprintf(`{"url": %q %s}`, backend.URL(), options))
		certificate, err := getter.GetCertificate(context.Background(), storetest.Hello("a.example"))
		if err != nil || certificate.Leaf.DNSNames[0] != "a.example" {
			t.Fatal(err)
		}
		if err := getter.Cleanup(); err != nil {
			t.Fatal(err)
		}
	}
	expectRequests(t, backend, "a.example", 1)
	if about, err := os.Stat(folder); err != nil || about.Mode().Perm() != 0o700 {
		t.Error(about, err)
	}
}

func TestReloadsRefetchNothing(t *testing.T) {
	backend, server := stack(t, "")
	backend.Keep("a.example", backend.Bundle(testca.P256, "a.example"), "s-maxage=60")
	for _, options := range []string{`, "ttl": "2h"`, `, "max_memory": "8MiB"`, `, "timeout": "3s"`} {
		if err := server.handshake("a.example"); err != nil {
			t.Fatal(err)
		}
		server.getter = openGetter(t, backend, options)
	}
	if err := server.handshake("a.example"); err != nil {
		t.Fatal(err)
	}
	expectRequests(t, backend, "a.example", 1)
}

func TestADirectoryOpenToOthersIsRefused(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(folder, 0o755); err != nil { //nolint:gosec // that is the case
		t.Fatal(err)
	}
	getter := &CertGetter{Getter: config.Getter{URL: "http://backend.example", CacheDir: folder}}
	if err := provision(t, getter); err == nil || !strings.Contains(err.Error(), folder) || !strings.Contains(err.Error(), "0700") {
		t.Error(err)
	}
	if err := getter.Cleanup(); err != nil {
		t.Error(err)
	}
}
