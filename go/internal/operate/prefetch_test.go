package operate_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

func TestPrefetchReadsLines(t *testing.T) {
	cache := newFake("lines")
	server := serve(t, serviceOver(cache))
	longest := "#" + strings.Repeat("x", 1023) // as long as a line may be
	body := "\n  a.example \r\n" + longest + "\r\n# comment\n\nno name\nb.example"
	got := lines(t, post(t, server, "/prefetch?cache=lines", strings.NewReader(body)))
	if want := []string{"a.example found", "b.example found", "no name failed"}; !slices.Equal(texts(got), want) {
		t.Errorf("%q", texts(got))
	}
	for _, line := range got {
		if line.Outcome == store.OutcomeFailed && line.Reason == "" {
			t.Error("a failure without a reason")
		}
	}
	if response := post(t, server, "/prefetch", strings.NewReader("# none\n")); response.StatusCode != http.StatusOK || len(lines(t, response)) > 0 {
		t.Errorf("no names: %s", response.Status)
	}
}

func TestPrefetchEndsAtALineThatIsTooLong(t *testing.T) {
	cache := newFake("toolong")
	server := serve(t, serviceOver(cache))
	body := "a.example\nb.example\n" + strings.Repeat("x", 2000) + "\nc.example\n"
	got := texts(lines(t, post(t, server, "/prefetch", strings.NewReader(body))))
	if len(got) != 3 || got[0] != "a.example found" || got[1] != "b.example found" || !strings.Contains(got[2], "line 3 is longer") {
		t.Errorf("%q", got)
	}
	if len(cache.asked) != 2 {
		t.Errorf("asked for %v", cache.asked)
	}
}

func TestPrefetchEndsOnceAllIsOnDisk(t *testing.T) {
	cache := newFake("slow")
	cache.syncError = &native.Error{Status: native.StatusFailed, Message: "the disk does not answer: 7 certificates are not written yet"}
	server := serve(t, serviceOver(cache))
	got := texts(lines(t, post(t, server, "/prefetch", strings.NewReader("a.example\n"))))
	if len(got) != 2 || got[0] != "a.example found" || !strings.Contains(got[1], "7 certificates are not written") {
		t.Errorf("%q", got)
	}
}

func TestPrefetchTellsOfABrokenBody(t *testing.T) {
	server := serve(t, serviceOver(newFake("broken")))
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(connection, "POST /prefetch HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n")
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "ended early") {
		t.Errorf("%s %s", response.Status, text)
	}
}

func TestPrefetchAnswersWhileItReads(t *testing.T) {
	for _, version := range []int{1, 2} {
		server := serve(t, serviceOver(newFake("duplex")), func(s *httptest.Server) { s.EnableHTTP2 = version == 2 })
		body, names := io.Pipe()
		go func() { _, _ = io.WriteString(names, "a0.example\n") }()
		response := post(t, server, "/prefetch", body)
		if response.ProtoMajor != version {
			t.Fatalf("HTTP/%d", response.ProtoMajor)
		}
		answers := bufio.NewReader(response.Body)
		for i := range 3 {
			answer, err := answers.ReadString('\n')
			if err != nil || !strings.Contains(answer, fmt.Sprintf("a%d.example", i)) {
				t.Fatalf("%d: %s %v", i, answer, err)
			}
			if i < 2 {
				_, _ = fmt.Fprintf(names, "a%d.example\n", i+1)
			}
		}
		_ = names.Close()
		if rest, err := io.ReadAll(answers); len(rest) > 0 || err != nil {
			t.Errorf("%s %v", rest, err)
		}
	}
}

func TestPrefetchEndsWithItsClient(t *testing.T) {
	cache := newFake("client")
	ended := make(chan struct{}, 100)
	cache.work = func(ctx context.Context, _ string) store.RefreshOutcome {
		<-ctx.Done()
		ended <- struct{}{}
		return store.OutcomeFailed
	}
	server := serve(t, serviceOver(cache))
	for _, isWhole := range []bool{true, false} { // whether all names were sent
		ctx, cancel := context.WithCancel(t.Context())
		body, names := io.Pipe()
		request, _ := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/prefetch", body)
		go func() {
			_, _ = io.WriteString(names, strings.Repeat("a.example\n", 100))
			if isWhole {
				_ = names.Close()
			}
		}()
		go func() {
			if response, err := server.Client().Do(request); err == nil {
				_ = response.Body.Close()
			}
		}()
		eventually(t, "a share is under way", func() bool { return cache.underWay.Load() == int64(cache.share) })
		before := cache.changes()
		cancel()
		for range cache.share {
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				t.Fatal("it goes on")
			}
		}
		_ = names.Close()
		eventually(t, "none is under way", func() bool { return cache.underWay.Load() == 0 })
		if after := cache.changes(); after != before {
			t.Errorf("%d more were asked for", after-before)
		}
	}
}

func TestPrefetchOfManyNames(t *testing.T) {
	cache := newFake("many")
	cache.share = 64
	server := serve(t, serviceOver(cache))
	var names strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&names, "shop-%d.%s.%[2]s.%[2]s.example.com\n", i, strings.Repeat("x", 60)) // more than connections hold
	}
	begin := time.Now()
	if got := lines(t, post(t, server, "/prefetch", strings.NewReader(names.String()))); len(got) != 100_000 {
		t.Errorf("%d answers", len(got))
	}
	t.Logf("100,000 names took %v", time.Since(begin))

	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(5 * time.Minute))
	_, err = fmt.Fprintf(connection, "POST /prefetch HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", names.Len(), names.String())
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(t, response); len(got) != 100_000 {
		t.Errorf("%d answers", len(got))
	}
}

// A client that is still sending when the answer ends, and gives up when it can't, gets all of it.
func TestPrefetchsLastLineArrives(t *testing.T) {
	server := serve(t, serviceOver(newFake("lastline")))
	for range 5 {
		connection, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		_ = connection.SetDeadline(time.Now().Add(time.Minute))
		rest := strings.Repeat("b.example\n", 1_500_000) // more than a connection holds
		body := "a.example\n" + strings.Repeat("x", 2000) + "\n" + rest
		if _, err := fmt.Fprintf(connection, "POST /prefetch HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
			t.Fatal("it could not send everything:", err)
		}
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := texts(lines(t, response)); len(got) != 2 || !strings.Contains(got[1], "line 2 is longer") {
			t.Errorf("%q", got)
		}
	}
}
