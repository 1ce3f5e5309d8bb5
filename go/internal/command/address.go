package command

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// connect prepares a client of the admin API at an address as Caddy's configuration has it. Caddy's own client,
// caddycmd.AdminAPIRequest, sends the same headers, but can't be interrupted and turns every rejection into a text.
func connect(address string) (*client, error) {
	parsed, err := caddy.ParseNetworkAddress(address)
	switch {
	case err != nil:
		return nil, failed(exitUsage, "the admin address %q is none: %s", address, err)
	case parsed.IsFdNetwork():
		return nil, failed(exitUsage, "the admin address %q is a descriptor of Caddy's own; give another one with --address", address)
	case !parsed.IsUnixNetwork() && (parsed.PortRangeSize() != 1 || parsed.StartPort == 0):
		return nil, failed(exitUsage, "the admin address %q has no single port", address)
	}
	origin := "http://" + parsed.JoinHostPort(0)
	if parsed.IsUnixNetwork() {
		origin = "http://127.0.0.1" // a host that Caddy lets in at a socket
		parsed.Host, _, _ = strings.Cut(parsed.Host, "|")
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	return &client{
		address:    address,
		origin:     origin,
		sendOrigin: !parsed.IsUnixNetwork(),
		patience:   time.Minute,
		http: &http.Client{
			Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, parsed.Network, parsed.JoinHostPort(0))
			}},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// findAddress looks where `caddy stop` would.
func findAddress(address, config, adapter string) (string, error) {
	switch {
	case adapter != "" && config == "":
		return "", failed(exitUsage, "--adapter needs --config")
	case address != "" && config != "":
		return "", failed(exitUsage, "--address and --config exclude each other: both say where the admin API is")
	}
	found, err := caddycmd.DetermineAdminAPIAddress(address, nil, config, adapter)
	if err != nil {
		return "", failed(exitFailed, "%s says no admin address: %s", config, err)
	}
	return found, nil
}

// reason is why there was no answer, without the URL, which says nothing to whoever gave an address.
func reason(err error) string {
	if operation, ok := errors.AsType[*net.OpError](err); ok {
		return operation.Err.Error()
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}
