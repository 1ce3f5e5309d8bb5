// The demo of cached_http: two real Caddys, real handshakes, and what each cost the backend.
//
// It needs no root, uses free ports of the loopback address and one temporary folder, and ends by itself: with 0 if
// everything was as promised, else with 1 and the first thing that was not. With KEEP=1 both servers stay up.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

const demoLimit = 55 * time.Second

// demo is the stage: the servers, where they are and what the backend has been asked.
type demo struct {
	caddy     string // the binary, with the module
	files     string // where the two Caddyfiles are
	folder    string // everything that is written
	authority *testca.Authority

	nodeName                          string // of the front, and of its folder
	backendPort, httpsPort, adminPort int
	backend, front                    *server
	backendLog                        string
	requests                          int
}

func main() {
	caddy := flag.String("caddy", "build/caddy", "a Caddy with tls.get_certificate.cached_http")
	files := flag.String("files", "tests/demo", "the folder of backend.Caddyfile and front.Caddyfile")
	flag.Parse()

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *caddy, *files, os.Getenv("KEEP") == "1")
	cancel()
	if err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, caddy, files string, keep bool) (err error) {
	ctx, cancel := context.WithTimeout(ctx, demoLimit)
	defer cancel()
	d, err := newDemo(caddy, files)
	if err != nil {
		return err
	}
	defer func() {
		if keep && err == nil {
			d.printHowToTry()
			return
		}
		d.front.stop()
		d.backend.stop()
		if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
			err = fmt.Errorf("%w\n(the logs are in %s)", err, d.folder)
			return
		}
		_ = os.RemoveAll(d.folder)
	}()
	err = d.story(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return errors.New("interrupted; both servers are stopped")
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("not done after %s: %w", demoLimit, err)
	}
	return err
}

func newDemo(caddy, files string) (*demo, error) {
	caddy, err := filepath.Abs(caddy)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "cached-http-demo-")
	if err != nil {
		return nil, err
	}
	return &demo{
		caddy: caddy, files: files, folder: folder, authority: testca.NewAuthority(), nodeName: "front",
		backendPort: ports[0], httpsPort: ports[1], adminPort: ports[2],
		backendLog: filepath.Join(folder, "backend-requests.log"),
	}, nil
}

// environment is all that the servers see of the outside; what they would write into a home goes to the folder.
func (d *demo) environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + d.folder, "TMPDIR=" + d.folder,
		"XDG_DATA_HOME=" + d.folder, "XDG_CONFIG_HOME=" + d.folder,
		"BUNDLE_FOLDER=" + d.path("bundles"), "BACKEND_LOG=" + d.backendLog, "FRONT_FOLDER=" + d.path(d.nodeName),
		"FLEET_KEY=" + d.path("fleet.key"), "SHARED_FOLDER=" + d.path("shared"),
		fmt.Sprint("BACKEND_PORT=", d.backendPort), fmt.Sprint("HTTPS_PORT=", d.httpsPort),
		fmt.Sprint("ADMIN_PORT=", d.adminPort),
	}
}

func (d *demo) path(name string) string {
	return filepath.Join(d.folder, name)
}

func (d *demo) startBackend(ctx context.Context) (err error) {
	d.backend, err = startCaddy(ctx, d.caddy, filepath.Join(d.files, "backend.Caddyfile"), d.path("backend.log"),
		d.backendPort, d.environment())
	return err
}

func (d *demo) startFront(ctx context.Context) (err error) {
	d.front, err = startCaddy(ctx, d.caddy, filepath.Join(d.files, "front.Caddyfile"), d.path(d.nodeName+".log"),
		d.httpsPort, d.environment())
	return err
}

// getterWithBlock is the directive from its word to the end of its block, the URL caught.
var getterWithBlock = regexp.MustCompile(`(?s)get_certificate cached_http (\S+) \{\n.*?\n\t\t\}`)

// changedCaddyfile writes front.Caddyfile with another get_certificate; $1 stands for the URL.
func (d *demo) changedCaddyfile(name, getter string) (string, error) {
	text, err := os.ReadFile(filepath.Join(d.files, "front.Caddyfile"))
	if err != nil {
		return "", err
	}
	swapped := getterWithBlock.ReplaceAll(text, []byte("get_certificate "+getter))
	if string(swapped) == string(text) {
		return "", errors.New("front.Caddyfile: no get_certificate cached_http URL with a block found")
	}
	path := d.path(name)
	return path, os.WriteFile(path, swapped, 0o600)
}

func (d *demo) printHowToTry() {
	name := demoNames[0].name
	fmt.Printf("\nBoth servers are still up. Try:\n  curl --cacert %s --resolve %s:%d:127.0.0.1 https://%s:%d/\n",
		d.path("ca.pem"), name, d.httpsPort, name, d.httpsPort)
	fmt.Printf("What the cache holds:\n  %s cached-http names --address %s\n", d.caddy, loopback(d.adminPort))
	fmt.Printf("The backend's requests:\n  cat %s\n", d.backendLog)
	fmt.Printf("Stop them with:\n  kill %s %s && rm -rf %s\n", d.front.processID(), d.backend.processID(), d.folder)
}
