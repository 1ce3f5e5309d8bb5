package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// issuer is a real ACME server, Pebble, that validates names at one Caddy and looks them up at a DNS server of the test.
type issuer struct {
	t         *testing.T
	directory string // of the ACME server
	folder    string
	names     *nameServer
	httpPort  int // of HTTP-01
}

// pebbleBinary is built once, from a pinned version.
var pebbleBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(suiteFolder, "pebble")
	build := exec.Command("go", "-C", "../tools", "build", "-o", path, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building Pebble: %w\n%s", err, output)
	}
	return path, nil
})

// prepareIssuer is a Caddy whose names are all for the issuer: its backend, whose URL is returned, has no certificate.
func prepareIssuer(t *testing.T) (c *caddy, i *issuer, backend string) {
	t.Helper()
	backend = startBackend(t, testbackend.Status(http.StatusNoContent)).URL()
	c = prepareCaddy(t)
	return c, startIssuer(t, c), backend
}

// startIssuer starts one that ends with the test.
func startIssuer(t *testing.T, c *caddy) *issuer {
	t.Helper()
	binary, err := pebbleBinary()
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, folder: c.folder, names: startNameServer(t), httpPort: freePort(t)}
	own := authority.Issue(testca.Leaf{Names: []string{"127.0.0.1"}})
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	i.directory = "https://" + address + "/dir"
	settings, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": address, "httpPort": i.httpPort, "tlsPort": c.port,
		"certificate": c.file("pebble.pem", own.CertificatesPEM()), "privateKey": c.file("pebble.key", testca.PKCS8(own.Key)),
	}})
	if err != nil {
		t.Fatal(err)
	}
	c.file("issuer-root.pem", authority.RootPEM())
	log, err := os.Create(i.logPath())
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	command := exec.CommandContext(t.Context(), binary, "-config", c.file("pebble.json", settings), "-dnsserver", i.names.address)
	command.Env = []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0"}
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	eventually(t, startLimit, "Pebble", func() bool {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		return connection.Close() == nil
	})
	return i
}

func (i *issuer) logPath() string { return filepath.Join(i.folder, "pebble.log") }

// orders counts those that the ACME server has taken.
func (i *issuer) orders() int {
	text, err := os.ReadFile(i.logPath())
	if err != nil {
		i.t.Fatal(err)
	}
	return strings.Count(string(text), "Added order ")
}

// guarded is a site whose unknown names are ordered if the permission says so. Its own options are lines of the block.
func (i *issuer) guarded(backend string, permission ...string) site {
	return i.site(backend, append(append([]string{"permission cached_http {"}, permission...), "}"))
}

func (i *issuer) site(backend string, onDemand []string) site {
	return site{
		url:     backend,
		options: []string{"negative_ttl 1h", "timeout 5s"},
		noCA:    true,
		next:    []string{"on_demand"},
		global: append(append([]string{
			"acme_ca " + i.directory, "acme_ca_root " + i.folder + "/issuer-root.pem", fmt.Sprint("http_port ", i.httpPort),
			"default_bind 127.0.0.1", "on_demand_tls {",
		}, onDemand...), "}"),
	}
}

// waitForOrder opens a handshake that waits for an order, if there is one, and returns how long it took and the error. What
// Pebble issues leads to a root that it makes up.
func (c *caddy) waitForOrder(ctx context.Context, name string) (time.Duration, error) {
	watch := startWatch()
	_, err := c.handshakeWithin(ctx, name, trustAnyone)
	return watch.took(), err
}

// yes is an `ask` that says yes to every name.
func yes(t *testing.T) string {
	endpoint := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(endpoint.Close)
	return endpoint.URL
}

// nameServer is a DNS server, by UDP and TCP, that knows what a test says.
type nameServer struct {
	address string
	mutex   sync.Mutex
	known   map[string][4]byte
	aliases map[string]string
	fails   bool
	rotates string // a name that has another address each time
	asked   map[string]int
}

func startNameServer(t *testing.T) *nameServer {
	t.Helper()
	s := &nameServer{
		address: fmt.Sprintf("127.0.0.1:%d", freePort(t)), known: make(map[string][4]byte), aliases: make(map[string]string), asked: make(map[string]int),
	}
	packets, err := net.ListenPacket("udp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = packets.Close() })
	go func() {
		for query := make([]byte, 2048); ; {
			length, from, err := packets.ReadFrom(query)
			if err != nil {
				return
			}
			if answer := s.answer(query[:length]); answer != nil {
				_, _ = packets.WriteTo(answer, from)
			}
		}
	}()
	return s
}

// point lets names point to an address.
func (s *nameServer) point(address string, names ...string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, name := range names {
		s.known[name] = [4]byte(net.ParseIP(address).To4())
	}
}

// alias lets a name be an alias of another.
func (s *nameServer) alias(name, of string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.aliases[name] = of
}

// rotate gives a name another address each time.
func (s *nameServer) rotate(name string) {
	s.point("127.0.1.0", name)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.rotates = name
}

// fail lets it answer every question with SERVFAIL, or no longer.
func (s *nameServer) fail(fails bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.fails = fails
}

// count is how often the name's address was asked for.
func (s *nameServer) count(name string) int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.asked[name]
}

func (s *nameServer) answer(query []byte) []byte {
	var message dnsmessage.Message
	if message.Unpack(query) != nil || len(message.Questions) != 1 {
		return nil
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	question := message.Questions[0]
	name := strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))
	owner, target := question.Name, s.aliases[name]
	if target != "" {
		owner = dnsmessage.MustNewName(target + ".")
		message.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class, TTL: 1},
			Body:   &dnsmessage.CNAMEResource{CNAME: owner},
		}}
	} else {
		target = name
	}
	address, isKnown := s.known[target]
	if target == s.rotates {
		address[3] = byte(s.asked[name] % 256) //nolint:gosec // it fits
		address[2] = byte(len(name) % 256)
	}
	message.Header = dnsmessage.Header{ID: message.ID, Response: true, RecursionDesired: true, RecursionAvailable: true}
	message.Additionals = nil
	isAddress := question.Type == dnsmessage.TypeA
	if isAddress {
		s.asked[name]++
	}
	switch {
	case s.fails:
		message.RCode = dnsmessage.RCodeServerFailure
	case !isKnown:
		message.RCode = dnsmessage.RCodeNameError
	case isAddress:
		message.Answers = append(message.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: owner, Class: question.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: address},
		})
	}
	answer, err := message.Pack()
	if err != nil {
		return nil
	}
	return answer
}
