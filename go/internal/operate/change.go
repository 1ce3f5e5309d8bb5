package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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

func (s *Service) purge(response http.ResponseWriter, request *http.Request) error {
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
	if errors.Is(err, errNoCache) && s.orders() != nil {
		err = nil // failed orders are all there is to forget
	}
	if err != nil {
		return err
	}
	purged, err := purgeAll(caches, func(cache Cache) (int, error) {
		if asked.All {
			return cache.PurgeAll(request.Context())
		}
		return cache.Purge(request.Context(), asked.Names)
	})
	if err != nil {
		return err
	}
	purged = max(purged, s.forgetOrders(caches, asked.Names))
	writeJSON(response, http.StatusOK, struct {
		Purged int `json:"purged"`
	}{purged})
	return nil
}

// purgeAll purges all caches at once: one whose disk hangs must not keep the others waiting.
func purgeAll(caches []Cache, purge func(Cache) (int, error)) (purged int, err error) {
	numbers, failures := make([]int, len(caches)), make([]error, len(caches))
	var all sync.WaitGroup
	for i, cache := range caches {
		all.Go(func() {
			var err error
			if numbers[i], err = purge(cache); err != nil {
				failures[i] = fmt.Errorf("cache %s (%s): %w", cache.ID(), cache.Backend(), err)
			}
		})
	}
	all.Wait()
	for i, number := range numbers {
		purged += number
		switch {
		case err == nil:
			err = failures[i]
		case failures[i] != nil:
			err = fmt.Errorf("%w; %w", err, failures[i])
		}
	}
	if err != nil && len(caches) > 1 {
		err = fmt.Errorf("%w; the others have purged %d", err, purged)
	}
	return purged, err
}

func (s *Service) refresh(response http.ResponseWriter, request *http.Request) error {
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
	slots := slotsOf(cache, "refresh")
	var begun atomic.Int64
	stream(request.Context(), response, work{
		slots: slots, workers: min(cap(slots), len(asked.Names)), ask: cache.Refresh,
		next: func() (string, bool) {
			index := int(begun.Add(1)) - 1
			if index >= len(asked.Names) {
				return "", false
			}
			return asked.Names[index], true
		},
		failure: func() error { return nil },
	})
	return nil
}

// decode reads a body that is one JSON object with known fields.
func decode(response http.ResponseWriter, request *http.Request, target any) error {
	if _, err := parameters(request); err != nil {
		return err
	}
	// A body that never ends must not hold up who waits for this request.
	defer context.AfterFunc(request.Context(), func() {
		_ = http.NewResponseController(response).SetReadDeadline(time.Now())
	})()
	decoder := json.NewDecoder(http.MaxBytesReader(response, request.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(target)
	if err == nil {
		if _, err = decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = errMore
		}
	}
	if problem := tooLarge(err); problem != nil {
		return problem
	}
	return newProblem(http.StatusBadRequest, `the body is no such JSON as {"names": ["a.example"]}: %s`, complaint(err))
}

// tooLarge is for a body beyond a limit, ours or one of the server's; nil for other errors.
func tooLarge(err error) error {
	if limit, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return newProblem(http.StatusRequestEntityTooLarge,
			"the body is larger than %d bytes, which is all that is taken here; send several requests", limit.Limit)
	}
	return nil
}

// complaint says what is wrong with JSON, without Go's names and at no length.
func complaint(err error) string {
	if mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind, _, _ := strings.Cut(mistyped.Value, " ") // a number has its digits behind it
		if mistyped.Field == "" {
			return "it is of type " + kind
		}
		return fmt.Sprintf("%s is of type %s", quoted(mistyped.Field[strings.LastIndex(mistyped.Field, ".")+1:]), kind)
	}
	if broken, ok := errors.AsType[*json.SyntaxError](err); ok {
		return broken.Error()
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return "unknown field " + quoted(strings.Trim(field, `"`))
	}
	if errors.Is(err, errMore) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err.Error()
	}
	return "it could not be read to its end"
}

var errMore = errors.New("more follows the first document")

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
