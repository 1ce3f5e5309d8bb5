package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testport"
)

const startLimit = time.Minute

// caddy is one Caddy with its folder; its process may be stopped and started again.
type caddy struct {
	t       *testing.T
	folder  string
	port    int
	environ []string // beside HOME and PATH

	command  *exec.Cmd
	exited   chan struct{}
	commands int // that were run beside it
}

// startCaddy starts a Caddy that ends with the test.
func startCaddy(t *testing.T, s site, environ ...string) *caddy {
	t.Helper()
	c := prepareCaddy(t, environ...)
	c.start(s)
	return c
}

var folders atomic.Int64

// prepareCaddy makes the folder and picks the port of a Caddy that is not started yet.
func prepareCaddy(t *testing.T, environ ...string) *caddy {
	t.Helper()
	name := fmt.Sprintf("%03d-%s", folders.Add(1), strings.ReplaceAll(t.Name(), "/", "-"))
	if len(name) > 48 { // the admin socket is in it, and a socket's path has to be short
		name = name[:48]
	}
	c := &caddy{t: t, folder: filepath.Join(suiteFolder, name), port: freePort(t), environ: environ}
	if err := os.Mkdir(c.folder, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.stop()
		if t.Failed() {
			t.Logf("the end of %s:\n%s", c.logPath(), lastLines(c.logText(), 12))
		}
	})
	return c
}

// start runs Caddy with this site and waits until it serves.
func (c *caddy) start(s site) {
	c.t.Helper()
	c.write(s)
	c.serve(c.caddyfilePath())
}

// serve is start with a configuration that is written already.
func (c *caddy) serve(config string) {
	c.t.Helper()
	served := c.countInLog("serving initial configuration")
	c.spawn(config)
	for end := time.Now().Add(startLimit); c.countInLog("serving initial configuration") == served; {
		select {
		case <-c.exited:
			c.t.Fatalf("Caddy ended instead of starting")
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(end) {
			c.t.Fatalf("Caddy does not serve after %s", startLimit)
		}
	}
}

// startFails runs Caddy with a site it is to refuse, and returns what it said.
func (c *caddy) startFails(s site) string {
	c.t.Helper()
	c.write(s)
	c.spawn(c.caddyfilePath())
	select {
	case <-c.exited:
	case <-time.After(startLimit):
		c.t.Fatal("Caddy still runs")
	}
	if c.command.ProcessState.Success() || c.countInLog("serving initial configuration") > 0 {
		c.t.Fatal("Caddy started")
	}
	return c.logText()
}

func (c *caddy) spawn(config string) {
	c.t.Helper()
	log, err := os.OpenFile(c.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	// The loosest umask: files are to be private whatever it is.
	c.command = c.exec("sh", "-c", `umask 000 && exec "$@"`, "sh", caddyBinary, "run", "--config", config)
	c.command.Stdout, c.command.Stderr = log, log
	exited := make(chan struct{})
	c.exited = exited
	if err := c.command.Start(); err != nil {
		c.t.Fatal(err)
	}
	command := c.command
	go func() {
		_ = command.Wait()
		close(exited)
	}()
}

// stop ends the process if it runs, as an operator would.
func (c *caddy) stop() {
	if c.exited == nil {
		return
	}
	_ = c.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(15 * time.Second):
		c.t.Errorf("Caddy did not end within 15 s of being asked to")
		_ = c.command.Process.Kill()
		<-c.exited
	}
}

// reload gives the running Caddy another site.
func (c *caddy) reload(s site) {
	c.t.Helper()
	c.write(s)
	if output, err := c.run("reload", "--config", c.caddyfilePath(), "--address", "unix/"+c.folder+"/admin.sock"); err != nil {
		c.t.Fatalf("caddy reload: %v\n%s", err, output)
	}
	// Caddy says that it has reloaded when the old server has begun to close: a connection made in that moment may still
	// be the old one's (caddyhttp/app.go, stop).
	eventually(c.t, startLimit, "the old server has closed", func() bool { return c.listening() < 2 })
	time.Sleep(100 * time.Millisecond)
}

// listening is how many sockets listen at Caddy's port; 0 where that can't be told.
func (c *caddy) listening() (count int) {
	sockets, _ := os.ReadFile("/proc/net/tcp")
	address, listens := fmt.Sprintf("0100007F:%04X", c.port), "0A"
	for line := range strings.Lines(string(sockets)) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[1] == address && fields[3] == listens {
			count++
		}
	}
	return count
}

// run runs another command of the same Caddy: adapt, validate, reload. Both its streams are returned, and kept where
// the scan for secrets finds them.
func (c *caddy) run(arguments ...string) (string, error) {
	command := c.exec(caddyBinary, arguments...)
	output, err := command.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		c.t.Fatal(err)
	}
	c.commands++
	c.file(fmt.Sprintf("%s-%d.log", arguments[0], c.commands), output)
	return string(output), err
}

func (c *caddy) exec(name string, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(c.t.Context(), name, arguments...)
	command.Cancel = func() error { return nil } // stop ends it, in order
	command.Dir = c.folder
	command.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.folder,
		"XDG_DATA_HOME=" + c.folder + "/data", "XDG_CONFIG_HOME=" + c.folder + "/config",
	}, c.environ...)
	return command
}

func (c *caddy) write(s site) {
	c.t.Helper()
	if err := os.WriteFile(c.caddyfilePath(), []byte(s.caddyfile(c.folder, c.port)), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// file writes a file into Caddy's folder and returns its path.
func (c *caddy) file(name string, content []byte) string {
	c.t.Helper()
	path := filepath.Join(c.folder, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

func (c *caddy) caddyfilePath() string { return filepath.Join(c.folder, "Caddyfile") }
func (c *caddy) logPath() string       { return filepath.Join(c.folder, "caddy.log") }
func (c *caddy) address() string       { return fmt.Sprintf("127.0.0.1:%d", c.port) }

func (c *caddy) logText() string {
	text, _ := os.ReadFile(c.logPath()) // not there before the first start
	return string(text)
}

func (c *caddy) countInLog(text string) int {
	return bytes.Count([]byte(c.logText()), []byte(text))
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := testport.Free()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func lastLines(text string, count int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}
