package testbackend

import (
	"crypto/tls"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"syscall"

	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// Path is where the certificates are.
const Path = "/certificates"

// Server is a running backend on a loopback port. Safe for concurrent use.
type Server struct {
	server *httptest.Server
	closed sync.Once

	mutex    sync.Mutex
	answers  map[string]Answer
	fallback Answer
	requests []Request
	counts   map[string]int
}

// Request is what the backend was asked.
type Request struct {
	Name     string // the parameter server_name
	Query    url.Values
	Header   http.Header
	Path     string
	TLS      bool
	HasProof bool // the client showed a certificate
}

// Start serves plain HTTP. Names that no answer was set for get 204.
func Start() *Server {
	s := newServer()
	s.server.Start()
	return s
}

// StartTLS serves HTTPS on 127.0.0.1 with a certificate of the authority. With onlyKnown, clients must show one too.
func StartTLS(authority *testca.Authority, onlyKnown bool) *Server {
	s := newServer()
	certificate := authority.Issue(testca.Leaf{Names: []string{"127.0.0.1", "localhost"}}).TLS()
	s.server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientCAs: authority.Roots()}
	if onlyKnown {
		s.server.TLS.ClientAuth = tls.RequireAndVerifyClientCert
	}
	s.server.StartTLS()
	return s
}

func newServer() *Server {
	s := &Server{answers: map[string]Answer{}, counts: map[string]int{}, fallback: Status(http.StatusNoContent)}
	s.server = httptest.NewUnstartedServer(s)
	// Faults are wanted here; the clients report what matters.
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	return s
}

// ServeHTTP counts and answers a request.
func (s *Server) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	query := request.URL.Query()
	name := query.Get("server_name")
	s.mutex.Lock()
	s.counts[name]++
	s.requests = append(s.requests, Request{
		Name: name, Query: query, Header: maps.Clone(request.Header), Path: request.URL.Path,
		TLS:      request.TLS != nil,
		HasProof: request.TLS != nil && len(request.TLS.PeerCertificates) > 0,
	})
	answer, known := s.answers[name]
	if !known {
		answer = s.fallback
	}
	s.mutex.Unlock()
	answer(response, request, name)
}

// Answer sets what a name gets from now on.
func (s *Server) Answer(name string, answer Answer) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.answers[name] = answer
}

// AnswerOthers sets what names get that have no answer of their own.
func (s *Server) AnswerOthers(answer Answer) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.fallback = answer
}

// Count is how often a name was asked for.
func (s *Server) Count(name string) int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.counts[name]
}

// Requests are all requests so far, in order.
func (s *Server) Requests() []Request {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.requests)
}

// URL is what to give to get_certificate.
func (s *Server) URL() string {
	return s.server.URL + Path
}

// Address is host:port.
func (s *Server) Address() string {
	return s.server.Listener.Addr().String()
}

// Close ends the server at once: who is being answered is cut off. Until the process ends its port is nobody else's, who
// would answer in its place.
func (s *Server) Close() {
	s.server.CloseClientConnections()
	s.server.Close()
	s.closed.Do(func() { keepClosed(s.server.Listener.Addr().(*net.TCPAddr)) })
}

// keepClosed binds an address and does not listen: connections are refused. Where that fails, the address is let go.
func keepClosed(address *net.TCPAddr) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return
	}
	syscall.CloseOnExec(socket)
	_ = syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if syscall.Bind(socket, &syscall.SockaddrInet4{Port: address.Port, Addr: [4]byte(address.IP.To4())}) != nil {
		_ = syscall.Close(socket)
	}
}
