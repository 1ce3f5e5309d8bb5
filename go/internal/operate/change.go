package operate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

const (
	maxBody  = 16 << 20 // bytes
	maxNames = 200_000
)

// wish is the body of POST /refresh.
type wish struct {
	Names []string `json:"names"`
	Cache string   `json:"cache"`
}

func (s *service) purge(response http.ResponseWriter, request *http.Request) error {
	var asked struct {
		wish
		All bool `json:"all"`
	}
	if err := decode(response, request, &asked); err != nil {
		return err
	}
	if asked.All == (asked.Names != nil) {
		return newProblem(http.StatusBadRequest, `purge takes either {"names": ["a.example"]} or {"all": true}`)
	}
	if err := checkNames(asked.Names); err != nil {
		return err
	}
	caches, err := s.chooseAll(asked.Cache)
	if err != nil {
		return err
	}
	var failures []error
	purged := 0
	for _, cache := range caches {
		var number int
		if asked.All {
			number, err = cache.PurgeAll(request.Context())
		} else {
			number, err = cache.Purge(request.Context(), asked.Names)
		}
		purged += number
		failures = append(failures, err)
	}
	if err := errors.Join(failures...); err != nil {
		return fmt.Errorf("%w; %d purged before that", err, purged)
	}
	writeJSON(response, http.StatusOK, struct {
		Purged int `json:"purged"`
	}{purged})
	return nil
}

func (s *service) refresh(response http.ResponseWriter, request *http.Request) error {
	var asked wish
	if err := decode(response, request, &asked); err != nil {
		return err
	}
	if asked.Names == nil {
		return newProblem(http.StatusBadRequest, `refresh takes {"names": ["a.example"]}`)
	}
	if err := checkNames(asked.Names); err != nil {
		return err
	}
	cache, err := s.choose(asked.Cache)
	if err != nil {
		return err
	}
	names := make(chan string, len(asked.Names))
	for _, name := range asked.Names {
		names <- name
	}
	close(names)
	return stream(response, request, cache, names, cache.Refresh, func() error { return nil })
}

// decode reads a body that is one JSON object with known fields.
func decode(response http.ResponseWriter, request *http.Request, target any) error {
	if _, err := parameters(request); err != nil {
		return err
	}
	decoder := json.NewDecoder(http.MaxBytesReader(response, request.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(target)
	if err == nil {
		if _, err = decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = errors.New("more follows the first document")
		}
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return newProblem(http.StatusRequestEntityTooLarge, "the body is larger than %d MiB; send several requests", maxBody>>20)
	}
	return newProblem(http.StatusBadRequest, `the body is no such JSON as {"names": ["a.example"]}: %v`, err)
}

// checkNames refuses a list with a name that is none, before anything is done for the others.
func checkNames(names []string) error {
	if len(names) > maxNames {
		return newProblem(http.StatusRequestEntityTooLarge, "%d names are too many; send %d at most", len(names), maxNames)
	}
	for index, name := range names {
		if err := store.CheckName(name); err != nil {
			return newProblem(http.StatusBadRequest, "names[%d] is %s: %v; nothing was done", index, quoted(name), err)
		}
	}
	return nil
}
