package cachedhttp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
)

// server answers TLS handshakes with what a getter says.
type server struct {
	address string
	getter  *CertGetter
	roots   *x509.CertPool
}

func newServer(t testing.TB, getter *CertGetter, roots *x509.CertPool) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &server{address: listener.Addr().String(), getter: getter, roots: roots}
	config := &tls.Config{
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			certificate, err := server.getter.GetCertificate(hello.Context(), hello)
			if certificate == nil && err == nil {
				err = errors.New("passed on")
			}
			return certificate, err
		},
	}
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Go(func() {
				defer connection.Close()
				_ = tls.Server(connection, config).Handshake()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		connections.Wait()
	})
	return server
}

// handshake makes one, as a client that checks the chain and the name.
func (s *server) handshake(name string, change ...func(*tls.Config)) error {
	config := &tls.Config{ServerName: name, RootCAs: s.roots}
	for _, change := range change {
		change(config)
	}
	dialer := &net.Dialer{Timeout: 20 * time.Second}
	connection, err := tls.DialWithDialer(dialer, "tcp", s.address, config)
	if err != nil {
		return err
	}
	return connection.Close()
}

// stack is a backend, a getter made from JSON with the backend's URL in place of URL, and a server over it.
func stack(t testing.TB, options string) (*testbackend.Backend, *server) {
	t.Helper()
	backend := testbackend.New(t)
	getter := openGetter(t, backend, options)
	return backend, newServer(t, getter, backend.Roots())
}

func openGetter(t testing.TB, backend *testbackend.Backend, options string) *CertGetter {
	t.Helper()
	getter := provisioned(t, fmt.Sprintf(`{"url": %q %s}`, backend.URL(), options))
	t.Cleanup(func() {
		if err := getter.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	return getter
}

func expectRequests(t testing.TB, backend *testbackend.Backend, name string, number int) {
	t.Helper()
	if requests := backend.Count(name); requests != number {
		t.Errorf("%d requests for %s, not %d", requests, name, number)
	}
}

// expectNoHandles waits for the garbage collector to give the last keys back.
func expectNoHandles() error {
	for deadline := time.Now().Add(30 * time.Second); native.LiveHandles() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d native handles are still open", native.LiveHandles())
		}
		runtime.GC()
	}
	return nil
}
