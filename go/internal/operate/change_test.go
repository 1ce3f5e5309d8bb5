package operate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

func TestPurges(t *testing.T) {
	one, two := newFake("11111111"), newFake("22222222")
	service := serviceOver(one, two)
	for _, test := range []struct{ body, answer string }{
		{`{"names": ["a.example", "b.example"]}`, `{"purged":4}`},
		{`{"names": ["c.example"], "cache": "22222222"}`, `{"purged":1}`},
		{`{"names": ["d.example"], "all": false, "cache": "` + two.backend + `"}`, `{"purged":1}`},
		{`{"names": []}`, `{"purged":0}`},
		{`{"all": true}`, `{"purged":200}`},
		{`{"all": true, "cache": "11111111"}`, `{"purged":100}`},
	} {
		if status, text, _ := ask(service, "POST", "/purge", test.body); status != http.StatusOK || strings.TrimSpace(text) != test.answer {
			t.Errorf("%s: %d %s", test.body, status, text)
		}
	}
	if !slices.Equal(one.purged, []string{"a.example", "b.example"}) || one.purgedAll != 2 {
		t.Errorf("of the first: %v and %d times all", one.purged, one.purgedAll)
	}
	if !slices.Equal(two.purged, []string{"a.example", "b.example", "c.example", "d.example"}) || two.purgedAll != 1 {
		t.Errorf("of the second: %v and %d times all", two.purged, two.purgedAll)
	}
}

// A cache that fails doesn't keep the others from being purged, and the answer says which one did.
func TestAPurgeThatFailsIsToldOf(t *testing.T) {
	one, two := newFake("11111111"), newFake("22222222")
	one.purgeError = errors.New("the disk is gone")
	status, text, _ := ask(serviceOver(one, two), "POST", "/purge", `{"names": ["a.example"]}`)
	if status != http.StatusInternalServerError || !strings.Contains(text, "cache 11111111 ("+one.backend+"): the disk is gone") || len(two.purged) != 1 {
		t.Errorf("%d %s", status, text)
	}
	if strings.Contains(text, "cache 22222222") {
		t.Errorf("the other did not fail: %s", text)
	}
}

// Nor does one whose disk hangs keep them waiting.
func TestAPurgeThatHangsHoldsUpNoOther(t *testing.T) {
	one, two := newFake("11111111"), newFake("22222222")
	one.purgeHangs = make(chan struct{})
	done := make(chan string, 1)
	go func() {
		_, text, _ := ask(serviceOver(one, two), "POST", "/purge", `{"all": true}`)
		done <- strings.TrimSpace(text)
	}()
	eventually(t, "the other is purged", func() bool { return two.changes() == 1 })
	close(one.purgeHangs)
	if text := <-done; text != `{"purged":200}` {
		t.Error(text)
	}
}

// A cache that has too much to do is no bug of its own, and none of the backend's.
func TestABusyCache(t *testing.T) {
	cache := newFake("11111111")
	cache.purgeError, cache.namesError = store.ErrBusy, store.ErrBusy
	for path, body := range map[string]string{"/purge": `{"all": true}`, "/names": ""} {
		method := http.MethodGet
		if body != "" {
			method = http.MethodPost
		}
		status, text, _ := ask(serviceOver(cache), method, path, body)
		if status != http.StatusServiceUnavailable || !strings.Contains(text, "too many operations are under way; try again") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

// A server's own limit is smaller than ours: its number is told.
func TestAServersLimitForBodies(t *testing.T) {
	cache := newFake("11111111")
	service := serviceOver(cache)
	server := serve(t, http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		request.Body = wrapped{http.MaxBytesReader(response, request.Body, 100)}
		service.ServeHTTP(response, request)
	}))
	long := strings.Repeat("a.example\n", 50)
	response := post(t, server, "/purge", strings.NewReader(`{"names": ["`+strings.Repeat("x", 500)+`"]}`))
	if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(text), "larger than 100 bytes") || strings.Contains(string(text), "internals") {
		t.Errorf("%s %s", response.Status, text)
	}
	cache.work = func(context.Context, string) store.RefreshOutcome {
		time.Sleep(50 * time.Millisecond)
		return store.OutcomeFound
	}
	got := texts(lines(t, post(t, server, "/prefetch", strings.NewReader(long))))
	if len(got) < 10 || !strings.Contains(strings.Join(got, "\n"), "larger than 100 bytes") || strings.Contains(strings.Join(got, ""), "internals") {
		t.Errorf("%d lines: %q", len(got), got)
	}
}

// wrapped is a body as Caddy's request_body has it.
type wrapped struct{ io.ReadCloser }

func (w wrapped) Read(buffer []byte) (int, error) {
	count, err := w.ReadCloser.Read(buffer)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("internals: %w", err)
	}
	return count, err
}

func TestRefusesBadBodies(t *testing.T) {
	cache := newFake("11111111")
	service := serviceOver(cache)
	tooMany := `{"names": [` + strings.Repeat(`"a.example",`, 200_000) + `"a.example"]}`
	for _, test := range []struct {
		path, body, complaint string
		status                int
	}{
		{"/purge", ``, "no such JSON", 400},
		{"/purge", `names=a.example`, "no such JSON", 400},
		{"/purge", `["a.example"]`, "no such JSON", 400},
		{"/purge", `{"names": "a.example"}`, `\"names\" is of type string`, 400},
		{"/purge", `{"names": 1` + strings.Repeat("0", 100_000) + `}`, `\"names\" is of type number`, 400},
		{"/purge", `{"` + strings.Repeat("n", 12_000_000) + `": 1}`, "unknown field", 400},
		{"/purge", `{"names": ["a.example"], "cache": 7}`, `\"cache\" is of type number`, 400},
		{"/purge", `{"names": ["a.example"`, "no such JSON", 400},
		{"/purge", `{"names": ["a.example"]} {"all": true}`, "more follows", 400},
		{"/purge", `{"names": ["a.example"], "force": true}`, `unknown field`, 400},
		{"/purge", `{}`, "either", 400},
		{"/purge", `null`, "either", 400},
		{"/purge", `{"all": false}`, "either", 400},
		{"/purge", `{"names": ["a.example"], "all": true}`, "either", 400},
		{"/purge", `{"names": ["a.example", "no name"]}`, `names[1] is \"no name\"`, 400},
		{"/purge", `{"names": [""]}`, `names[0]`, 400},
		{"/purge", `{"names": ["` + strings.Repeat("x", 5000) + `"]}`, `...`, 400},
		{"/purge", tooMany, "200001 names", 413},
		{"/purge", `{"cache": "` + strings.Repeat("x", 16<<20) + `"}`, "larger than 16777216 bytes", 413},
		{"/purge", `{"all": true, "cache": "elsewhere"}`, "no cache has", 404},
		{"/purge?cache=11111111", `{"all": true}`, "unknown", 400},
		{"/refresh", `{"all": true}`, "unknown field", 400},
		{"/refresh", `{}`, "refresh takes", 400},
		{"/refresh", `{"names": ["a.example", "no name"]}`, "nothing was done", 400},
		{"/refresh", tooMany, "200001 names", 413},
		{"/refresh?all=true", `{"names": ["a.example"]}`, "unknown", 400},
		{"/prefetch?names=a.example", "a.example", "the parameters are cache", 400},
		{"/prefetch?cache=elsewhere", "a.example", "no cache has", 404},
		{"/prefetch", strings.Repeat("x", 1100), "line 1 is longer than 1024 bytes", 400},
	} {
		status, text, _ := ask(service, "POST", test.path, test.body)
		if strings.Contains(text, "wish") || strings.Contains(text, "Go ") || strings.Contains(text, "json:") {
			t.Errorf("%s: %.300s", test.path, text)
		}
		if status != test.status || !strings.HasPrefix(text, `{"error":"`) || !strings.Contains(text, test.complaint) || len(text) > 600 {
			t.Errorf("%s %.60s: %d %.600s", test.path, test.body, status, text)
		}
	}
	if cache.changes() > 0 {
		t.Errorf("something was done: %v, %v, %d times all", cache.purged, cache.asked, cache.purgedAll)
	}
}

func TestChangesNeedACache(t *testing.T) {
	for path, body := range map[string]string{
		"/purge": `{"all": true}`, "/refresh": `{"names": ["a.example"]}`, "/prefetch": "a.example",
	} {
		if status, text, _ := ask(serviceOver(), "POST", path, body); status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", path, status, text)
		}
		service := serviceOver(newFake("11111111"), newFake("22222222"))
		status, text, _ := ask(service, "POST", path, body)
		if path == "/purge" {
			if status != http.StatusOK {
				t.Errorf("%s: %d %s", path, status, text)
			}
		} else if status != http.StatusBadRequest || !strings.Contains(text, "there are 2 caches") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}
