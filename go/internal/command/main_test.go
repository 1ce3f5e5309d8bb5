package command

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile" // the Caddyfile's adapter
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// With this in its environment the test binary is Caddy's command line, so that arguments, streams, signals and exit
// codes are a real process's.
const beCaddy = "COMMAND_TEST_BE_CADDY"

func TestMain(m *testing.M) {
	if os.Getenv(beCaddy) == "" {
		os.Exit(m.Run())
	}
	caddy.CustomBinaryName = "caddy"
	caddycmd.RegisterCommand(caddycmd.Command{Name: Name, Usage: Usage, Short: Short, Long: Long, CobraFunc: Build})
	caddycmd.Main()
}

// outcome is what a process has left.
type outcome struct {
	out, err string
	code     int
}

// prepare makes `caddy cached-http ARGUMENTS` in a folder of its own; it is killed with the test.
func prepare(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return caddyProcess(ctx, t, append([]string{Name}, arguments...)...)
}

func caddyProcess(ctx context.Context, t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(ctx, os.Args[0], arguments...)
	command.Dir = t.TempDir()
	command.Env = []string{beCaddy + "=1", "HOME=" + command.Dir, "TZ=UTC", "TERM=xterm", "GORACE=atexit_sleep_ms=0"}
	return command
}

// run runs it to its end.
func run(t *testing.T, arguments ...string) outcome {
	t.Helper()
	return finish(t, prepare(t, arguments...))
}

func finish(t *testing.T, command *exec.Cmd) outcome {
	t.Helper()
	var out, notes bytes.Buffer
	command.Stdout, command.Stderr = &out, &notes
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{out.String(), notes.String(), command.ProcessState.ExitCode()}
}

// summaryTime is how long something took, in a summary.
var summaryTime = regexp.MustCompile(`(names?) in (?:\d+ (?:s|min|h|d) ?\b)+`)

// atOnce is the same without the time that a busy machine took for it: 2 names in 0 s.
func (o outcome) atOnce() outcome {
	zero := func(text string) string { return summaryTime.ReplaceAllString(text, "$1 in 0 s") }
	return outcome{zero(o.out), zero(o.err), o.code}
}

// is compares standard output, and the code with 0.
func (o outcome) is(t *testing.T, want string) {
	t.Helper()
	if o.code != 0 || o.out != want {
		t.Errorf("code %d, output:\n%s\nwant:\n%s\nstandard error: %s", o.code, o.out, want, o.err)
	}
}

// failsWith wants a code and texts on standard error, none on standard output.
func (o outcome) failsWith(t *testing.T, code int, texts ...string) {
	t.Helper()
	if o.code != code || o.out != "" {
		t.Errorf("code %d, want %d; output: %s\nstandard error: %s", o.code, code, o.out, o.err)
	}
	for _, text := range texts {
		if !strings.Contains(o.err, text) {
			t.Errorf("standard error lacks %q: %s", text, o.err)
		}
	}
}

// execution is one of several that are to end alike.
type execution struct {
	name string
	*exec.Cmd
}
