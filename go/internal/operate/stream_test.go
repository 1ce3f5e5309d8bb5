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

// A prefetch that waits for a slow disk keeps no refresh waiting.
func TestRefreshesHaveSlotsOfTheirOwn(t *testing.T) {
	cache := newFake("own slots")
	cache.share = 1
	cache.work = func(ctx context.Context, name string) store.RefreshOutcome {
		if name == "slow.example" {
			<-ctx.Done()
		}
		return store.OutcomeFound
	}
	server := serve(t, serviceOver(cache))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/prefetch", strings.NewReader("slow.example\n"))
	go func() {
		if response, err := server.Client().Do(request); err == nil {
			_ = response.Body.Close()
		}
	}()
	eventually(t, "the prefetch is under way", func() bool { return cache.underWay.Load() == 1 })
	if got := texts(lines(t, post(t, server, "/refresh", strings.NewReader(`{"names": ["a.example"]}`)))); !slices.Equal(got, []string{"a.example found"}) {
		t.Errorf("%q", got)
	}
}

// However many requests there are, the cache has no more of a kind under way than its share.
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
	if most := cache.mostUnderWay.Load(); most != 2*int64(cache.share) {
		t.Errorf("%d at once, of %[2]d prefetches and %[2]d refreshes", most, cache.share)
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
		defer func() { returned <- request.Header.Get("X-Client") }()
		service.ServeHTTP(response, request)
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
	// One whose body never ends.
	unfinished, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer unfinished.Close()
	_, _ = fmt.Fprintf(unfinished, "POST /purge HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{\"na")
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
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v to tell them", took)
	}
	for range 4 {
		select {
		case <-returned:
		case <-time.After(20 * time.Second):
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
		case <-time.After(time.Second):
			return store.OutcomeFound
		}
	}
	// Long enough for a request to begin on a busy machine.
	const limit = 3 * time.Second
	server := serve(t, serviceOver(cache), func(s *httptest.Server) { s.Config.ReadTimeout, s.Config.WriteTimeout = limit, limit })
	names := slices.Repeat([]string{"a.example"}, 16)
	list, _ := json.Marshal(map[string]any{"names": names})
	refreshed := post(t, server, "/refresh", strings.NewReader(string(list)))
	body, writer := io.Pipe()
	go func() {
		for _, name := range names {
			time.Sleep(limit / 12)
			_, _ = fmt.Fprintln(writer, name)
		}
		_ = writer.Close()
	}()
	prefetched := post(t, server, "/prefetch", body)
	if got := lines(t, refreshed); len(got) != len(names) {
		t.Errorf("refresh: %d answers", len(got))
	}
	if got := lines(t, prefetched); len(got) != len(names) {
		t.Errorf("prefetch: %d answers", len(got))
	}
}

// 100,000 names, by a client that reads while it sends and by one that first sends all of them.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not after 30 s:", what)
		}
	}
}
