package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cached-http/caddy-cached-http/tests/bench/bundles"
)

// The variants, in the order of the tables.
const (
	static     = "static file"
	stock      = "stock http"
	pureGo     = "pure Go cache"
	cachedHTTP = "cached_http"
)

// variant is a running Caddy.
type variant struct {
	*process
	name, address, admin string
}

// setting is what differs between the Caddyfiles of variants.
type setting struct {
	name     string
	url      string   // of the backend
	bundles  string   // folder of PEM bundles, for static
	options  []string // lines of the block, for cached_http
	waitName string   // answered before the start counts as done
}

func (s *setting) tls() string {
	switch s.name {
	case static:
		return "load " + s.bundles
	case stock:
		return "get_certificate http " + s.url
	case pureGo:
		return "get_certificate pure_go_cache " + s.url
	default:
		lines := append([]string{"get_certificate cached_http " + s.url + " {"}, s.options...)
		return strings.Join(lines, "\n\t\t\t") + "\n\t\t}"
	}
}

// caddyfile reaches nothing but the backend: the ACME server is a closed port, and the storage is its own.
const caddyfile = `{
	admin %[1]s
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	acme_ca https://127.0.0.1:1/directory
	storage file_system %[2]s
	servers {
		protocols h1 h2
	}
}

https://:%[3]d {
	bind 127.0.0.1
	tls {
		%[4]s
	}
	respond "ok"
}
`

// start starts a Caddy and waits for its first handshake; it returns how long that took from the start of the
// process.
func (b *bench) start(ctx context.Context, setting setting) (*variant, time.Duration, error) {
	folder, err := os.MkdirTemp(b.folder, "caddy-")
	if err != nil {
		return nil, 0, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, 0, err
	}
	admin := fmt.Sprintf("127.0.0.1:%d", ports[1])
	config := filepath.Join(folder, "Caddyfile")
	text := fmt.Sprintf(caddyfile, admin, filepath.Join(folder, "storage"), ports[0], setting.tls())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, 0, err
	}
	begin := time.Now()
	child, err := startProcess(ctx, folder, filepath.Join(b.binaries, "caddy"), nil,
		"run", "--config", config, "--adapter", "caddyfile")
	if err != nil {
		return nil, 0, err
	}
	server := &variant{child, setting.name, fmt.Sprintf("127.0.0.1:%d", ports[0]), admin}
	if setting.waitName == "" {
		setting.waitName = bundles.Name(0)
	}
	if err := server.wait(ctx, setting.waitName); err != nil {
		child.stop()
		return nil, 0, child.failure(err)
	}
	return server, time.Since(begin), nil
}

// wait tries handshakes until one succeeds.
func (v *variant) wait(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{
		ServerName:         name,
		InsecureSkipVerify: true, // #nosec G402 -- the authority is made up
	}}
	for {
		connection, err := dialer.DialContext(ctx, "tcp", v.address)
		if err == nil {
			return connection.Close()
		}
		select {
		case <-v.ended:
			return fmt.Errorf("%s ended before its first handshake", v.name)
		case <-ctx.Done():
			return fmt.Errorf("%s made no handshake: %w", v.name, err)
		case <-time.After(time.Millisecond):
		}
	}
}

// freePorts finds ports of the loopback address that nobody listens on at the moment.
func freePorts(count int) ([]int, error) {
	var ports []int
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close() // held until all are chosen, so that they differ
		address, ok := listener.Addr().(*net.TCPAddr)
		if !ok {
			return nil, errors.New("not a TCP listener")
		}
		ports = append(ports, address.Port)
	}
	return ports, nil
}
