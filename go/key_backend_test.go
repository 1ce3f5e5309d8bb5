//go:build linux

package cachedhttp

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// keyBackend is what the parent knows of a backend in a child process.
type keyBackend struct {
	URL, TLSURL string
	Authority   []byte // of the certificates it hands out, and of its own
	Secrets     map[string][]secret
}

func (keyBackend) names(kind string) string {
	return strings.ToLower(kind) + ".keys.example"
}

const keyBackendVariable = "CACHED_HTTP_TEST_KEY_BACKEND"

func startKeyBackend(t *testing.T) (backend keyBackend) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestKeyBackend$", "-test.timeout=0")
	child.Env = append(os.Environ(), keyBackendVariable+"=1")
	child.Stderr = os.Stderr
	input, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_, _ = io.Copy(io.Discard, output)
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, &backend); err != nil {
		t.Fatal(err)
	}
	return backend
}

// TestKeyBackend is the child process: it serves until its input ends, however long the search takes.
func TestKeyBackend(t *testing.T) {
	if os.Getenv(keyBackendVariable) == "" {
		t.Skip("a part of TestKeysAreNotStrewnOverMemory")
	}
	origin := testbackend.New(t)
	own := origin.Bundle(testca.P256, "localhost")
	certificate, err := tls.X509KeyPair(own, own)
	if err != nil {
		t.Fatal(err)
	}
	secure := httptest.NewUnstartedServer(origin.Server)
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	secure.StartTLS()
	defer secure.Close()
	backend := keyBackend{
		URL:       origin.URL(),
		TLSURL:    fmt.Sprintf("https://localhost:%d", secure.Listener.Addr().(*net.TCPAddr).Port),
		Authority: origin.Authority.RootPEM(),
		Secrets:   make(map[string][]secret),
	}
	for _, algorithm := range []testca.Algorithm{testca.P256, testca.RSA2048} {
		kind := algorithm.String()
		bundle := origin.Bundle(algorithm, backend.names(kind))
		origin.Keep(backend.names(kind), bundle, "s-maxage=600")
		backend.Secrets[kind] = secretsOf(t, bundle)
	}
	if err := json.NewEncoder(os.Stdout).Encode(backend); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func secretsOf(t *testing.T, bundle []byte) (secrets []secret) {
	t.Helper()
	text := bundle[max(0, bytes.Index(bundle, []byte("-----BEGIN PRIVATE KEY"))):]
	block, _ := pem.Decode(text)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	number := func(what string, bigEndian []byte) {
		littleEndian := bytes.Clone(bigEndian)
		slices.Reverse(littleEndian)
		secrets = append(secrets,
			secret{What: what, Order: ", big-endian", Masked: masked(bigEndian)},
			secret{What: what, Order: ", little-endian", Masked: masked(littleEndian)})
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	lines = lines[1 : len(lines)-1]
	switch key := parsed.(type) {
	case *ecdsa.PrivateKey:
		scalar, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		number("scalar", scalar)
		lines = lines[:2] // what follows is public
	case *rsa.PrivateKey:
		// A part is enough to tell, and finds remnants too.
		const part = 32
		number("exponent", key.D.FillBytes(make([]byte, 256))[128:][:part])
		number("first prime", key.Primes[0].FillBytes(make([]byte, 128))[64:][:part])
		number("second prime", key.Primes[1].FillBytes(make([]byte, 128))[64:][:part])
		lines = lines[7:] // what comes before is the modulus
	}
	for _, line := range lines {
		secrets = append(secrets, secret{What: pemText, Masked: masked(line)})
	}
	return secrets
}
