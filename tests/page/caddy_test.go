package page

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
	"github.com/cached-http/caddy-cached-http/go/internal/testport"
)

// caddyBinary is the Caddy under test: CACHED_HTTP_CADDY, or one built for this run.
var caddyBinary string

// authority has signed every certificate of the run.
var authority = testca.NewAuthority()

// caddy is a running Caddy with two caches: one for the site otherName, one with a disk for all other names.
type caddy struct {
	t          *testing.T
	folder     string
	port, door int                 // of TLS, and of the site with the page
	backend    *testbackend.Server // of the cache with a disk
	other      *testbackend.Server
}

const otherName = "other.example.com"

const caddyfileText = `{
	admin unix/%[1]s/admin.sock
	persist_config off
	storage file_system %[1]s/storage
	acme_ca https://127.0.0.1:1/directory
	skip_install_trust
	auto_https disable_redirects
	grace_period 1s
}
https://:%[2]d {
	bind 127.0.0.1
	tls {
		get_certificate cached_http %[4]s {
			cache_dir %[1]s/cache
			refresh_ahead off
		}
	}
}
https://` + otherName + `:%[2]d {
	bind 127.0.0.1
	tls {
		get_certificate cached_http %[5]s
	}
}
http://127.0.0.1:%[3]d {
	bind 127.0.0.1
	%[6]s
}
`

// startCaddy starts a Caddy that ends with the test; its site with the page has these lines.
func startCaddy(t *testing.T, lines ...string) *caddy {
	t.Helper()
	needBrowser(t)
	c := &caddy{
		t: t, folder: t.TempDir(), port: freePort(t), door: freePort(t),
		backend: testbackend.Start(), other: testbackend.Start(),
	}
	t.Cleanup(c.backend.Close)
	t.Cleanup(c.other.Close)
	c.other.AnswerOthers(testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	c.write(lines...)
	log := new(bytes.Buffer)
	command := c.command("run")
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = command.Wait() // that it was ended
	}()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(15 * time.Second):
			t.Error("Caddy did not end within 15 s of being asked to")
			_ = command.Process.Kill()
			<-exited
		}
		if text := log.String(); t.Failed() {
			t.Logf("Caddy's log ends with:\n%s", text[max(0, len(text)-3000):])
		}
	})
	for end := time.Now().Add(patience); !c.answers(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("Caddy does not serve")
		}
	}
	return c
}

func (c *caddy) write(lines ...string) {
	c.t.Helper()
	other := strings.Replace(c.other.URL(), "127.0.0.1", "localhost", 1) // comes second by the alphabet
	text := fmt.Sprintf(caddyfileText, c.folder, c.port, c.door, c.backend.URL(), other, strings.Join(lines, "\n\t"))
	if err := os.WriteFile(filepath.Join(c.folder, "Caddyfile"), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *caddy) command(arguments ...string) *exec.Cmd {
	command := exec.Command(caddyBinary, append(arguments, "--config", filepath.Join(c.folder, "Caddyfile"))...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.folder}
	return command
}

// reload loads the same configuration once more.
func (c *caddy) reload() {
	c.t.Helper()
	if output, err := c.command("reload", "--force").CombinedOutput(); err != nil {
		c.t.Fatalf("caddy reload: %v\n%s", err, output)
	}
}

// url is that of the site with the page.
func (c *caddy) url() string { return fmt.Sprintf("http://127.0.0.1:%d/", c.door) }

func (c *caddy) answers() bool {
	response, err := http.Get(c.url())
	if err == nil {
		_ = response.Body.Close()
	}
	return err == nil
}

// handshake is one as a browser has it; it returns the certificate.
func (c *caddy) handshake(name string) (*x509.Certificate, error) {
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: &tls.Config{ServerName: name, RootCAs: authority.Roots()}}
	connection, err := dialer.DialContext(c.t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", c.port))
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }()
	return connection.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// gives has the backend answer with a new certificate for a name.
func (c *caddy) gives(name, cacheControl string) testca.Bundle {
	bundle := authority.Issue(testca.Leaf{Names: []string{name}})
	c.backend.Answer(name, testbackend.Text(bundle.PEM(), cacheControl))
	return bundle
}

// serves wants the next handshake to show this certificate.
func (c *caddy) serves(name string, bundle testca.Bundle) {
	c.t.Helper()
	if leaf, err := c.handshake(name); err != nil {
		c.t.Errorf("%s: %v", name, err)
	} else if !bytes.Equal(leaf.Raw, bundle.Chain[0]) {
		c.t.Errorf("%s: another certificate", name)
	}
}

// refuses wants a handshake to fail.
func (c *caddy) refuses(name string) {
	c.t.Helper()
	if _, err := c.handshake(name); err == nil {
		c.t.Errorf("%s: the handshake succeeds", name)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := testport.Free()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
