package command

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// onTerminal runs a subcommand on a pseudo terminal of 80 columns, types something once the awaited text is there, and
// returns all that came, the exit code last.
func onTerminal(t *testing.T, awaited, typed string, arguments ...string) string {
	t.Helper()
	return onTerminalOf(t, "xterm", awaited, typed, arguments...)
}

func onTerminalOf(t *testing.T, kind, awaited, typed string, arguments ...string) string {
	t.Helper()
	path, err := exec.LookPath("script")
	if err != nil {
		t.Skip("there is no script (Debian: bsdutils), which makes a terminal")
	}
	line := "trap : INT; stty rows 24 cols 80 -echo;" // the shell outlives Ctrl-C to say the code
	command := prepare(t, arguments...)
	for _, word := range command.Args {
		line += " '" + word + "'"
	}
	command.Path = path
	command.Args = []string{"script", "-q", "-c", line + `; echo "code $?"`, "/dev/null"}
	command.Env = append(command.Env, "SHELL=/bin/sh", "PATH=/usr/bin:/bin", "TERM="+kind)
	keyboard, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	screen := &screen{awaited: awaited, seen: make(chan struct{})}
	command.Stdout, command.Stderr = screen, screen
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case <-screen.seen:
		if _, err := io.WriteString(keyboard, typed); err != nil {
			t.Fatal(err)
		}
		err = <-ended
	case err = <-ended:
	}
	if err != nil {
		t.Errorf("%v: %s", err, screen.String())
	}
	return screen.String()
}

// screen keeps what is written, and tells when the awaited text is there.
type screen struct {
	awaited string
	seen    chan struct{}

	mutex sync.Mutex
	text  bytes.Buffer
	found bool
}

func (s *screen) Write(text []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.text.Write(text)
	if !s.found && strings.Contains(s.text.String(), s.awaited) {
		s.found = true
		close(s.seen)
	}
	return len(text), nil
}

func (s *screen) String() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.text.String()
}
