package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// operator asks a Caddy about its caches, through one of the doors: the admin API, or the handler of a site.
type operator struct {
	t      *testing.T
	title  string
	base   string // before /caches
	client *http.Client
	log    string // where answers are kept, for the scan for secrets
	modify func(*http.Request)
}

// operateSite is the site with the handler, on a port of its own.
func operateSite(port int, lines ...string) string {
	return fmt.Sprintf("\nhttp://127.0.0.1:%d {\n\tbind 127.0.0.1\n\t%s\n}\n", port, strings.Join(lines, "\n\t"))
}

// doors are both.
func (c *caddy) doors(port int) []*operator {
	return []*operator{c.adminDoor(), c.handlerDoor(port)}
}

func (c *caddy) adminDoor() *operator {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(c.folder, "admin.sock"))
	}
	return c.operator("admin", "http://caddy/cached_http", dial)
}

func (c *caddy) handlerDoor(port int) *operator {
	return c.operator("handler", fmt.Sprintf("http://127.0.0.1:%d", port), nil)
}

func (c *caddy) operator(title, base string, dial func(context.Context, string, string) (net.Conn, error)) *operator {
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true} // a reload closes connections that are idle
	return &operator{
		t: c.t, title: title, base: base, client: &http.Client{Transport: transport},
		log: filepath.Join(c.folder, "answers-"+title+".log"),
	}
}

// open makes a request and returns its answer while it comes.
func (o *operator) open(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, o.base+path, body)
	if err != nil {
		o.t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
		if strings.HasPrefix(path, "/prefetch") {
			request.Header.Set("Content-Type", "text/plain")
		}
	}
	if o.modify != nil {
		o.modify(request)
	}
	response, err := o.client.Do(request)
	if err == nil {
		response.Body = &keptBody{ReadCloser: response.Body, operator: o, request: method + " " + path}
	}
	return response, err
}

// keptBody keeps what is read of an answer where noSecretInLogs looks.
type keptBody struct {
	io.ReadCloser
	operator *operator
	request  string
	text     bytes.Buffer
}

func (b *keptBody) Read(buffer []byte) (int, error) {
	read, err := b.ReadCloser.Read(buffer)
	b.text.Write(buffer[:read])
	return read, err
}

func (b *keptBody) Close() error {
	log, err := os.OpenFile(b.operator.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	_, _ = fmt.Fprintf(log, "%s\n%s\n", b.request, b.text.Bytes())
	return b.ReadCloser.Close()
}

// ask makes a request and returns the whole answer.
func (o *operator) ask(method, path, body string) (status int, text string, header http.Header) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), time.Minute)
	defer cancel()
	response, err := o.open(ctx, method, path, strings.NewReader(body))
	if err != nil {
		o.t.Fatalf("%s: %s %s: %v", o.title, method, path, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		o.t.Errorf("%s: %s %s: %v", o.title, method, path, err)
	}
	return response.StatusCode, string(content), response.Header
}

// read asks for a document that there must be.
func (o *operator) read(path string, document any) {
	o.t.Helper()
	status, text, _ := o.ask(http.MethodGet, path, "")
	if status != http.StatusOK {
		o.t.Fatalf("%s: GET %s: %d %s", o.title, path, status, text)
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(document); err != nil {
		o.t.Fatalf("%s: GET %s: %v in %s", o.title, path, err, text)
	}
}

// purge wants so many names to be purged.
func (o *operator) purge(body string, want int) {
	o.t.Helper()
	if status, text, _ := o.ask(http.MethodPost, "/purge", body); status != http.StatusOK || strings.TrimSpace(text) != fmt.Sprintf(`{"purged":%d}`, want) {
		o.t.Errorf("%s: purge %s: %d %s, want %d", o.title, body, status, text, want)
	}
}

// outcome is a line of a stream.
type outcome struct {
	Name, Outcome, Reason, Error string
}

// stream reads such lines to the end and sorts them by name.
func (o *operator) stream(path, body string) []outcome {
	o.t.Helper()
	status, text, header := o.ask(http.MethodPost, path, body)
	if status != http.StatusOK || header.Get("Content-Type") != "application/x-ndjson" {
		o.t.Fatalf("%s: POST %s: %d %s", o.title, path, status, text)
	}
	lines := outcomes(o.t, text)
	slices.SortFunc(lines, func(one, other outcome) int { return strings.Compare(one.Name, other.Name) })
	return lines
}

func outcomes(t *testing.T, text string) (lines []outcome) {
	t.Helper()
	for line := range strings.Lines(text) {
		var next outcome
		if err := json.Unmarshal([]byte(line), &next); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		lines = append(lines, next)
	}
	return lines
}

// refresh and prefetch want "name outcome" of each name, sorted.
func (o *operator) refresh(body string, want ...string) []outcome {
	o.t.Helper()
	return o.expect(o.stream("/refresh", body), want)
}

func (o *operator) prefetch(body string, want ...string) {
	o.t.Helper()
	o.expect(o.stream("/prefetch", body), want)
}

func (o *operator) expect(lines []outcome, want []string) []outcome {
	o.t.Helper()
	var got []string
	for _, line := range lines {
		got = append(got, line.Name+" "+line.Outcome)
		if (line.Reason == "") == (line.Outcome == "failed") {
			o.t.Errorf("%s: %+v", o.title, line)
		}
	}
	if !slices.Equal(got, want) {
		o.t.Errorf("%s: %q, want %q", o.title, got, want)
	}
	return lines
}
