package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// client asks Caddy's admin API.
type client struct {
	address    string // as the operator has it
	origin     string
	sendOrigin bool
	http       *http.Client
	patience   time.Duration // with a question; a change may take as long as it takes
}

// maxDocument is more than Caddy sends: 10,000 names with their errors, or all caches.
const maxDocument = 64 << 20

// get asks a question and returns the document.
func (c *client) get(ctx context.Context, path string, query url.Values) ([]byte, error) {
	asking, cancel := context.WithTimeoutCause(ctx, c.patience, fmt.Errorf("nothing within %s", c.patience))
	defer cancel()
	body, err := c.send(asking, http.MethodGet, path, query, "", nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return c.read(asking, body)
}

// post sends a change as JSON and returns what comes back, to be closed.
func (c *client) post(ctx context.Context, path string, change any) (io.ReadCloser, error) {
	document, err := json.Marshal(change)
	if err != nil {
		return nil, err
	}
	return c.send(ctx, http.MethodPost, path, nil, "application/json", bytes.NewReader(document))
}

func (c *client) send(ctx context.Context, method, path string, query url.Values, contentType string, body io.Reader) (io.ReadCloser, error) {
	target := c.origin + "/cached_http" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, failed(exitFailed, "the admin address %q makes no URL", c.address)
	}
	if c.sendOrigin {
		request.Header.Set("Origin", c.origin)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		return nil, c.rejection(response, path)
	}
	return response.Body, nil
}

// read takes a whole document.
func (c *client) read(ctx context.Context, body io.Reader) ([]byte, error) {
	document, err := io.ReadAll(io.LimitReader(body, maxDocument+1))
	switch {
	case err != nil:
		return nil, c.unreachable(ctx, err)
	case len(document) > maxDocument:
		return nil, failed(exitFailed, "the answer of %s is larger than %d MiB", c.address, maxDocument>>20)
	}
	return document, nil
}

func (c *client) unreachable(ctx context.Context, err error) error {
	switch ctx.Err() {
	case context.Canceled:
		return context.Canceled
	case context.DeadlineExceeded:
		err = context.Cause(ctx)
	}
	return failed(exitFailed, "no Caddy answers at %s (%s): start it, or say where its admin API is with --address or --config",
		c.address, reason(err))
}

// rejection turns an answer other than 200 into a failure.
func (c *client) rejection(response *http.Response, path string) error {
	var said struct {
		Error  string          `json:"error"`
		Caches []cacheIdentity `json:"caches"`
	}
	document, err := io.ReadAll(io.LimitReader(response.Body, maxDocument))
	if err != nil || json.Unmarshal(document, &said) != nil || said.Error == "" {
		if response.StatusCode == http.StatusNotFound {
			return failed(exitFailed, "the Caddy at %s has no caches to show: it was built without tls.get_certificate.cached_http, "+
				"or with a version before this command", c.address)
		}
		return failed(exitFailed, "%s answers with HTTP %d, which this command does not understand", c.address, response.StatusCode)
	}
	switch code := exitCodeOf(response.StatusCode); {
	case len(said.Caches) == 0 && code == exitUnknown && !strings.HasPrefix(path, "/names/"):
		// Only of a name nothing may be known.
		return failed(exitFailed, "%s is not Caddy's admin API, which this command asks: is it a site with cached_http_api?", c.address)
	case len(said.Caches) == 0:
		return failed(code, "%s", printable(said.Error))
	case code == exitUnknown:
		return failed(code, "no such cache runs in this Caddy; these do:%s", listed(said.Caches))
	default:
		return failed(code, "there are %d caches; choose one with --cache ID:%s", len(said.Caches), listed(said.Caches))
	}
}

func exitCodeOf(status int) int {
	switch status {
	case http.StatusNotFound:
		return exitUnknown
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return exitUsage
	}
	return exitFailed
}
