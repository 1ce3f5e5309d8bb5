package ask

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

// endpoint is the operator's own.
type endpoint struct {
	url    *url.URL
	header http.Header
	http   *http.Client
}

// Open finds the client that asks the endpoint of the options, or makes it. Close gives it back.
func Open(options *config.Permission) (*Client, error) {
	transport, digest, err := options.Transport()
	if err != nil {
		return nil, err
	}
	return openPooled(options, options.Ask, digest, maxConcurrent, maxPending, func() (question, error) {
		address, err := url.Parse(options.Ask)
		if err != nil {
			return nil, errors.New("ask: the URL can't be parsed") // which may hold a password
		}
		return &endpoint{
			url:    address,
			header: canonical(options.Header),
			http: &http.Client{
				Transport:     transport,
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			},
		}, nil
	})
}

// canonical has the names as net/http wants them.
func canonical(header http.Header) http.Header {
	result := make(http.Header)
	for name, values := range header {
		for _, value := range values {
			result.Add(name, value)
		}
	}
	return result
}

func (e *endpoint) close() { e.http.CloseIdleConnections() }

// ask: errors name the host and never the URL, which may hold credentials.
func (e *endpoint) ask(ctx context.Context, name string) error {
	address := *e.url
	query := address.Query()
	query.Set("domain", name)
	address.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return errors.New("ask: the URL can't be used")
	}
	request.Header = e.header.Clone()
	request.Host = e.header.Get("Host") // or the URL's
	response, err := e.http.Do(request)
	if err != nil {
		if failed, isURL := errors.AsType[*url.Error](err); isURL {
			err = failed.Err // without the URL
		}
		return fmt.Errorf("ask %s: %w", e.url.Host, err)
	}
	_ = response.Body.Close()
	switch status := response.StatusCode; {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusRequestTimeout || status == http.StatusTooManyRequests:
	case status >= 400 && status < 500:
		return ErrDenied
	}
	return fmt.Errorf("ask %s: answered %s; 2xx is yes, 4xx is no", e.url.Host, response.Status)
}
