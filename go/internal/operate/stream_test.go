package operate_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/operate"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// line is one of a stream's: a result, or why it ends.
type line struct {
	store.RefreshResult
	Error string `json:"error"`
}

func post(t *testing.T, server *httptest.Server, path string, body io.Reader) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// lines reads to the end.
func lines(t *testing.T, response *http.Response) (all []line) {
	t.Helper()
	decoder := json.NewDecoder(response.Body)
	for {
		var next line
		if err := decoder.Decode(&next); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, next)
	}
}

// texts are "name outcome", or the error, sorted.
func texts(all []line) (texts []string) {
	for _, line := range all {
		texts = append(texts, strings.TrimSpace(fmt.Sprint(line.Name, " ", line.Outcome, line.Error)))
	}
	slices.Sort(texts)
	return texts
}

func TestRefreshAnswersNameByName(t *testing.T) {
	cache := newFake("refresh1")
	release := make(chan struct{})
	cache.work = func(_ context.Context, name string) store.RefreshOutcome {
		if name == "slow.example" {
			<-release
			return store.OutcomeNotModified
		}
		return store.OutcomeFound
	}
	server := serve(t, serviceOver(cache))
	response := post(t, server, "/refresh", strings.NewReader(`{"names": ["slow.example", "fast.example"]}`))
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%s %v", response.Status, response.Header)
	}
	reader := bufio.NewReader(response.Body)
	first, _ := reader.ReadString('\n')
	close(release)
	second, _ := reader.ReadString('\n')
	if first != `{"name":"fast.example","outcome":"found"}`+"\n" || second != `{"name":"slow.example","outcome":"not_modified"}`+"\n" {
		t.Errorf("%s%s", first, second)
	}
	if rest, err := io.ReadAll(reader); len(rest) > 0 || err != nil {
		t.Errorf("%s %v", rest, err)
	}
	if response := post(t, server, "/refresh", strings.NewReader(`{"names": []}`)); response.StatusCode != http.StatusOK || len(lines(t, response)) > 0 {
		t.Errorf("no names: %s", response.Status)
	}
}

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

// What came before a line that is too long is done and answered; what follows it is not.
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

// Names that end in the middle of a message are no whole list.
func TestPrefetchTellsOfABrokenBody(t *testing.T) {
	server := serve(t, serviceOver(newFake("broken")))
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
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

// The answer to a name comes before the next name is sent, also over HTTP/1.1.
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

// However many requests there are, the cache has no more under way than its share.
func TestRequestsShareTheCachesSlots(t *testing.T) {
	cache := newFake("shared")
	cache.work = func(context.Context, string) store.RefreshOutcome {
		time.Sleep(time.Millisecond)
		return store.OutcomeFound
	}
	one, other := serve(t, serviceOver(cache)), serve(t, serviceOver(cache)) // two doors
	names := strings.Repeat("a.example\n", 100)
	list := `{"names": ["a.example"` + strings.Repeat(`, "a.example"`, 99) + `]}`
	responses := []*http.Response{
		post(t, one, "/prefetch", strings.NewReader(names)),
		post(t, other, "/prefetch", strings.NewReader(names)),
		post(t, one, "/refresh", strings.NewReader(list)),
	}
	for _, response := range responses {
		if got := lines(t, response); len(got) != 100 {
			t.Errorf("%d answers", len(got))
		}
	}
	if most := cache.mostUnderWay.Load(); most != int64(cache.share) {
		t.Errorf("%d at once, of %d", most, cache.share)
	}
}

// A client that goes takes its names with it.
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
			case <-time.After(5 * time.Second):
				t.Fatal("it goes on")
			}
		}
		_ = names.Close()
		if after := cache.changes(); after != before {
			t.Errorf("%d more were asked for", after-before)
		}
	}
}

// A configuration that ends takes every request with it, also one whose client neither sends nor reads.
func TestStreamsEndWithTheConfiguration(t *testing.T) {
	cache := newFake("config")
	cache.work = func(ctx context.Context, name string) store.RefreshOutcome {
		if name == "hangs.example" {
			<-ctx.Done()
		}
		return store.OutcomeFound
	}
	configuration, end := context.WithCancel(t.Context())
	service := operate.New(func() []operate.Cache { return []operate.Cache{cache} }, func() context.Context { return configuration })
	returned := make(chan string, 10)
	server := serve(t, http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		service.ServeHTTP(response, request)
		returned <- request.Header.Get("X-Client")
	}))

	// One that waits for its answers,
	refreshed := post(t, server, "/refresh", strings.NewReader(`{"names": ["a.example", "hangs.example"]}`))
	// one that is to send more, and
	body, names := io.Pipe()
	defer names.Close()
	go func() { _, _ = io.WriteString(names, "a.example\nhangs.example\n") }()
	prefetched := post(t, server, "/prefetch", body)
	// one that takes none of its answers, as many as no connection holds.
	deaf, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	go func() {
		_, _ = fmt.Fprintf(deaf, "POST /prefetch HTTP/1.1\r\nHost: a\r\nX-Client: deaf\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range 10_000 {
			if _, err := fmt.Fprintf(deaf, "a00\r\n%s\r\n", strings.Repeat("some.name.example.com.long.1.abc\n", 80)[:0xa00]); err != nil {
				return
			}
		}
	}()
	stuck := int64(0)
	eventually(t, "the deaf client is stuck", func() bool {
		before := stuck
		time.Sleep(100 * time.Millisecond)
		stuck = int64(cache.changes())
		return stuck > 10_000 && stuck == before
	})

	begin := time.Now()
	end()
	for _, response := range []*http.Response{refreshed, prefetched} {
		got := lines(t, response)
		if len(got) != 2 || got[0].Name != "a.example" || !strings.Contains(got[1].Error, "reloaded") {
			t.Errorf("%q", texts(got))
		}
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("it took %v to tell them", took)
	}
	for range 3 {
		select {
		case <-returned:
		case <-time.After(3 * time.Second):
			t.Fatal("a request goes on")
		}
	}
	if status, text, _ := ask(service, "POST", "/refresh", `{"names": ["hangs.example"]}`); status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", status, text)
	}
}

// A server's limits for whole requests end no stream, whose names may take hours.
func TestStreamsOutliveTheServersTimeouts(t *testing.T) {
	cache := newFake("timeouts")
	cache.work = func(ctx context.Context, _ string) store.RefreshOutcome {
		select {
		case <-ctx.Done():
			return store.OutcomeFailed
		case <-time.After(200 * time.Millisecond):
			return store.OutcomeFound
		}
	}
	server := serve(t, serviceOver(cache), func(s *httptest.Server) {
		s.Config.ReadTimeout, s.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	})
	names := slices.Repeat([]string{"a.example"}, 16)
	list, _ := json.Marshal(map[string]any{"names": names})
	if got := lines(t, post(t, server, "/refresh", strings.NewReader(string(list)))); len(got) != len(names) {
		t.Errorf("refresh: %d answers", len(got))
	}
	body, writer := io.Pipe()
	go func() {
		for _, name := range names {
			time.Sleep(50 * time.Millisecond)
			_, _ = fmt.Fprintln(writer, name)
		}
		_ = writer.Close()
	}()
	if got := lines(t, post(t, server, "/prefetch", body)); len(got) != len(names) {
		t.Errorf("prefetch: %d answers", len(got))
	}
}

// 100,000 names, by a client that reads while it sends and by one that first sends all of them.
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
	_ = connection.SetDeadline(time.Now().Add(time.Minute))
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

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not after 10 s:", what)
		}
	}
}
