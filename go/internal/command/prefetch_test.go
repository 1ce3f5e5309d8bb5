package command

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// prefetcher answers each name as Caddy does: at once, while more of them come.
type prefetcher struct {
	*fakeCaddy
	names atomic.Int64
	gone  chan struct{} // closed once the client has left in the middle
}

func startPrefetcher(t *testing.T, pause time.Duration) *prefetcher {
	t.Helper()
	p := &prefetcher{fakeCaddy: startFake(t), gone: make(chan struct{})}
	leave := sync.OnceFunc(func() { close(p.gone) })
	p.HandleFunc("/cached_http/prefetch", func(response http.ResponseWriter, request *http.Request) {
		control := http.NewResponseController(response)
		_ = control.EnableFullDuplex()
		names := bufio.NewScanner(request.Body)
		for names.Scan() {
			p.names.Add(1)
			outcome := `"found"`
			if strings.HasPrefix(names.Text(), "bad") {
				outcome = `"failed","reason":"the backend answered 503"`
			}
			fmt.Fprintf(response, `{"name":%q,"outcome":%s}`+"\n", names.Text(), outcome)
			_ = control.Flush()
			select {
			case <-time.After(pause):
			case <-request.Context().Done():
				leave()
				return
			}
		}
		if names.Err() != nil {
			leave()
		}
	})
	return p
}

func list(count int) string {
	var text strings.Builder
	for number := range count {
		fmt.Fprintf(&text, "name-%d.example\n", number)
	}
	return text.String()
}

func TestPrefetch(t *testing.T) {
	t.Parallel()
	fake := startPrefetcher(t, 0)
	text := "\ufeffa.example\r\n\n  # a comment\n#b.example\n \t\u00a0\nb.example\nbad.example"
	path := writeFile(t, t.TempDir(), "names.txt", text)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	named := prepare(t, "prefetch", path, "--address", fake.address)
	redirected := prepare(t, "prefetch", "--address", fake.address)
	redirected.Stdin = file
	piped := prepare(t, "prefetch", "-", "--address", fake.address)
	piped.Stdin = strings.NewReader(text)
	for _, command := range []execution{{"named", named}, {"redirected", redirected}, {"piped", piped}} {
		said := finish(t, command.Cmd).atOnce()
		if said.code != 4 || said.out != "failed          bad.example: the backend answered 503\n3 names in 0 s: 2 found, 1 failed\n" {
			t.Errorf("%s: %+v", command.name, said)
		}
	}
	json := prepare(t, "prefetch", "--json", "--cache", "7f3a90c1", "--address", fake.address)
	json.Stdin = strings.NewReader("a.example\n")
	said := finish(t, json).atOnce()
	if said.code != 0 || said.out != `{"name":"a.example","outcome":"found"}`+"\n" || said.err != "1 name in 0 s: 1 found\n" {
		t.Errorf("%+v", said)
	}
	if last := fake.last(t); last != "POST /cached_http/prefetch?cache=7f3a90c1" || fake.asked()[3].header.Get("Content-Type") != "text/plain" {
		t.Error(last)
	}
}

// Names are asked for as they come: an answer is there before the next name is written.
func TestPrefetchStreams(t *testing.T) {
	t.Parallel()
	fake := startPrefetcher(t, 0)
	command := prepare(t, "prefetch", "--json", "--address", fake.address)
	names, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(answers)
	for range 5 {
		if _, err := io.WriteString(names, "a.example\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "found") {
			t.Fatal(line, err)
		}
	}
	_ = names.Close()
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

// Ctrl-C ends it at once, in the middle of answers and while a pipe is silent, and Caddy sees the client leave.
func TestPrefetchInterrupted(t *testing.T) {
	t.Parallel()
	// What fails is printed at once, and so tells that the answers before it have arrived.
	const begin, printed = "a.example\nbad.example\n", "failed          bad.example: the backend answered 503\n"
	for _, given := range []string{begin + list(2000), begin} {
		fake := startPrefetcher(t, 5*time.Millisecond)
		command := prepare(t, "prefetch", "--address", fake.address)
		names, err := command.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, notes := &screen{awaited: printed, seen: make(chan struct{})}, new(bytes.Buffer)
		command.Stdout, command.Stderr = out, notes
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.WriteString(names, given) }()
		select {
		case <-out.seen:
		case <-time.After(30 * time.Second):
			t.Fatal("no answer is there")
		}
		_ = command.Process.Signal(os.Interrupt)
		begun := time.Now()
		_ = command.Wait()
		if code := command.ProcessState.ExitCode(); code != 130 || time.Since(begun) > 8*time.Second {
			t.Errorf("code %d after %s: %s", code, time.Since(begun), notes.String())
		}
		text, isPrinted := strings.CutPrefix(out.String(), printed)
		if !isPrinted || !strings.HasPrefix(text, "Interrupted: ") || !strings.Contains(text, " found, 1 failed\n") || notes.Len() > 0 {
			t.Errorf("%q %q", out.String(), notes.String())
		}
		select {
		case <-fake.gone:
		case <-time.After(30 * time.Second):
			t.Error("Caddy still asks")
		}
		if asked := fake.names.Load(); asked >= 2000 {
			t.Errorf("%d names were asked for", asked)
		}
	}
}

func TestPrefetchThatBreaks(t *testing.T) {
	t.Parallel()
	handle := func(handler http.HandlerFunc) *fakeCaddy {
		fake := startFake(t)
		fake.HandleFunc("/cached_http/prefetch", handler)
		return fake
	}
	const found = `{"name":"a.example","outcome":"found"}` + "\n"
	run := func(fake *fakeCaddy, names string) outcome {
		command := prepare(t, "prefetch", "--address", fake.address)
		command.Stdin = strings.NewReader(names)
		return finish(t, command).atOnce()
	}
	cut := handle(func(response http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		fmt.Fprint(response, found)
		_ = http.NewResponseController(response).Flush()
		panic(http.ErrAbortHandler)
	})
	few := handle(func(response http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		fmt.Fprint(response, found)
	})
	ended := handle(func(response http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		fmt.Fprint(response, found+`{"error":"the configuration was reloaded or stopped before this was done; try again"}`+"\n")
	})
	for text, fake := range map[string]*fakeCaddy{
		"ended after 1 name (unexpected EOF)":                 cut,
		"answered for 1 of 2 names only":                      few,
		"the configuration was reloaded or stopped before th": ended,
	} {
		if said := run(fake, "a.example\nb.example\n"); said.code != 1 || !strings.Contains(said.err, text) || said.out != "1 name in 0 s: 1 found\n" {
			t.Errorf("%s: %+v", text, said)
		}
	}
	refused := startFake(t)
	refused.answers("/prefetch", 400, `{"error":"there are 2 caches","caches":[{"id":"7f3a90c1"},{"id":"11223344"}]}`)
	run(refused, list(100_000)).failsWith(t, 2, "choose one with --cache ID", "\n  11223344")

	command := prepare(t, "prefetch", "absent.txt", "--address", refused.address)
	finish(t, command).failsWith(t, 1, "absent.txt: no such file")
}
