package command

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
)

// session is one run of a subcommand.
type session struct {
	*output
	client  *client
	cache   string // the one that is meant; empty if not said
	command *cobra.Command
}

// inSession makes an action what a subcommand does: Ctrl-C ends its context.
func inSession(action func(ctx context.Context, s *session, arguments []string) error) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, arguments []string) error {
		ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt)
		defer stop()
		context.AfterFunc(ctx, stop) // the second Ctrl-C ends the process at once
		s, err := newSession(command)
		if err == nil {
			err = action(ctx, s, arguments)
			if s.err != nil && !errors.Is(err, s.err) {
				err = errors.Join(err, s.err)
			}
		}
		return report(command, err)
	}
}

func newSession(command *cobra.Command) (*session, error) {
	flag := func(name string) string { return command.Flag(name).Value.String() }
	address, err := findAddress(flag("address"), flag("config"), flag("adapter"))
	if err != nil {
		return nil, err
	}
	client, err := connect(address)
	if err != nil {
		return nil, err
	}
	return &session{
		output:  &output{out: command.OutOrStdout(), notes: command.ErrOrStderr(), json: flag("json") == "true"},
		client:  client,
		cache:   withoutCredentials(flag("cache")),
		command: command,
	}, nil
}

// query is the beginning of each: which cache is meant.
func (s *session) query() url.Values {
	query := url.Values{}
	if s.cache != "" {
		query.Set("cache", s.cache)
	}
	return query
}

// decode reads an answer.
func (s *session) decode(document []byte, into any) error {
	if err := json.Unmarshal(document, into); err != nil {
		return failed(exitFailed, "the answer of %s is none of this version's: %s", s.client.address, err)
	}
	return nil
}

// withoutCredentials: a cache's URL has none, and what Caddy is asked stands in its log.
func withoutCredentials(cache string) string {
	backend, err := url.Parse(cache)
	switch {
	case err != nil || backend.Opaque != "" || backend.Fragment != "":
		// A password may hold anything; what follows it has no @ if it is a host, a port and a path as they should be.
		scheme, rest, ok := strings.Cut(cache, "://")
		if !ok {
			scheme, rest = "https", cache
		}
		if at := strings.LastIndex(rest, "@"); at >= 0 {
			return scheme + "://" + rest[at+1:]
		}
	case backend.User != nil:
		backend.User = nil
		return backend.String()
	}
	return cache
}
