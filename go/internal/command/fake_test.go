package command

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// fakeCaddy answers as Caddy's admin API does, by what a test says. Unknown paths are 404 in plain text, as there.
type fakeCaddy struct {
	*http.ServeMux
	address string

	mutex    sync.Mutex
	requests []request
}

type request struct {
	method, target, body string
	host                 string
	header               http.Header
}

func (r request) String() string { return strings.TrimSpace(r.method + " " + r.target + " " + r.body) }

func startFake(t *testing.T) *fakeCaddy {
	t.Helper()
	return startFakeAt(t, "tcp", "127.0.0.1:0")
}

func startFakeSocket(t *testing.T) (fake *fakeCaddy, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "admin.sock")
	fake = startFakeAt(t, "unix", path)
	return fake, path
}

func startFakeAt(t *testing.T, network, address string) *fakeCaddy {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	fake := &fakeCaddy{ServeMux: http.NewServeMux(), address: listener.Addr().String()}
	server := httptest.NewUnstartedServer(fake)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return fake
}

// ServeHTTP keeps each request; the body only of those that come whole.
func (f *fakeCaddy) ServeHTTP(response http.ResponseWriter, asked *http.Request) {
	kept := request{method: asked.Method, target: asked.RequestURI, host: asked.Host, header: asked.Header}
	if asked.ContentLength > 0 {
		body, _ := io.ReadAll(asked.Body)
		kept.body = string(body)
	}
	f.mutex.Lock()
	f.requests = append(f.requests, kept)
	f.mutex.Unlock()
	f.ServeMux.ServeHTTP(response, asked)
}

func (f *fakeCaddy) asked() []request {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return append([]request(nil), f.requests...)
}

// last is the last request as text.
func (f *fakeCaddy) last(t *testing.T) string {
	t.Helper()
	asked := f.asked()
	if len(asked) == 0 {
		t.Fatal("nothing was asked")
	}
	return asked[len(asked)-1].String()
}

// answers makes a path answer with a status and a text.
func (f *fakeCaddy) answers(path string, status int, text string) {
	f.HandleFunc("/cached_http"+path, func(response http.ResponseWriter, _ *http.Request) {
		response.WriteHeader(status)
		fmt.Fprint(response, text)
	})
}

// run runs a subcommand against it.
func (f *fakeCaddy) run(t *testing.T, arguments ...string) outcome {
	t.Helper()
	return run(t, append(arguments, "--address", f.address)...)
}
