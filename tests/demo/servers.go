package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testport"
)

const startLimit = 15 * time.Second

// server is one running Caddy.
type server struct {
	command *exec.Cmd
	exited  chan struct{}
}

// startCaddy runs Caddy with a Caddyfile and returns once it listens on the port. Its log is appended to logPath.
func startCaddy(ctx context.Context, caddy, caddyfile, logPath string, port int, environment []string) (*server, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()

	command := exec.Command(caddy, "run", "--config", caddyfile, "--adapter", "caddyfile")
	command.Env = environment
	command.Stdout, command.Stderr = log, log
	// A group of its own: Ctrl-C reaches only the demo, which then stops its servers in order, and with KEEP=1 they
	// outlive it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return nil, err
	}
	s := &server{command, make(chan struct{})}
	go func() {
		_ = command.Wait()
		close(s.exited)
	}()
	if err := s.waitUntilListening(ctx, port); err != nil {
		s.stop()
		return nil, fmt.Errorf("Caddy with %s: %w; the end of its log:\n%s", caddyfile, err, lastLines(logPath, 5)) //nolint:staticcheck // a name
	}
	return s, nil
}

func (s *server) waitUntilListening(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		connection, err := net.Dial("tcp", loopback(port))
		if err == nil {
			return connection.Close()
		}
		select {
		case <-s.exited:
			return fmt.Errorf("it ended instead of starting")
		case <-ctx.Done():
			return fmt.Errorf("it does not listen on port %d: %w", port, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop asks the server to end and makes sure that it has; a server that has ended, or none, is left alone.
func (s *server) stop() {
	if s == nil {
		return
	}
	_ = s.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(10 * time.Second):
		_ = s.command.Process.Kill()
		<-s.exited
	}
}

func (s *server) processID() string {
	return strconv.Itoa(s.command.Process.Pid)
}

// reloadCaddy gives a running Caddy another Caddyfile.
func reloadCaddy(ctx context.Context, caddy, caddyfile string, adminPort int, environment []string) error {
	command := exec.CommandContext(ctx, caddy, "reload", "--config", caddyfile, "--adapter", "caddyfile",
		"--address", loopback(adminPort))
	command.Env = environment
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("caddy reload with %s: %w\n%s", caddyfile, err, output)
	}
	return nil
}

// freePorts picks ports that nobody uses, all different.
func freePorts(count int) ([]int, error) {
	ports := make([]int, count)
	for i := range ports {
		port, err := testport.Free()
		if err != nil {
			return nil, err
		}
		ports[i] = port
	}
	return ports, nil
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

func countLines(path string) int {
	content, _ := os.ReadFile(path) // the log is not there before the first request
	return bytes.Count(content, []byte("\n"))
}

func lastLines(path string, count int) string {
	content, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}
