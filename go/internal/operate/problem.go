package operate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// problem is an error as a client is told: what is wrong and what to do.
type problem struct {
	Status  int        `json:"-"`
	Message string     `json:"error"`
	Caches  []identity `json:"caches,omitempty"` // to choose from
}

func (p *problem) Error() string { return p.Message }

func newProblem(status int, format string, arguments ...any) *problem {
	return &problem{Status: status, Message: shortened(fmt.Sprintf(format, arguments...), maxMessage)}
}

// maxMessage is more bytes than any error needs whose texts are not a client's or a backend's.
const maxMessage = 2000

func shortened(text string, longest int) string {
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return text
}

var (
	errNoSuchPath = newProblem(http.StatusNotFound, "there is nothing at this path; there are "+
		"caches, names, names/NAME, purge, refresh and prefetch")
	errNoCache = newProblem(http.StatusServiceUnavailable,
		"no cache is running: the configuration has no get_certificate cached_http")
	errLoading = newProblem(http.StatusServiceUnavailable,
		"the configuration is still being loaded; try again in a moment")
	errReloaded = newProblem(http.StatusServiceUnavailable,
		"the configuration was reloaded or stopped before this was done; try again")
	// errGone is for access logs alone, by the number that Caddy uses there.
	errGone = newProblem(499, "the client is gone")
)

func wrongMethod(path, method string) *problem {
	return newProblem(http.StatusMethodNotAllowed, "%s is asked by %s", path, method)
}

// problemOf is what a client is told of any error. The texts of the store hold no secrets.
func problemOf(err error) *problem {
	var known *problem
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.Canceled):
		return errGone
	case errors.Is(err, store.ErrInvalidName):
		return newProblem(http.StatusBadRequest, "%v", err)
	case errors.Is(err, store.ErrBusy):
		return newProblem(http.StatusServiceUnavailable, "%v", err)
	case errors.Is(err, native.ErrClosed):
		return newProblem(http.StatusServiceUnavailable, "%v; try again", err)
	}
	return newProblem(http.StatusInternalServerError, "%v", err)
}

func writeProblem(response http.ResponseWriter, p *problem) {
	writeJSON(response, p.Status, p)
}

// quoted is a client's text in an error.
func quoted(text string) string { return fmt.Sprintf("%q", shortened(text, 80)) }
