package operate

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// cacheFacts is one row of GET /caches.
type cacheFacts struct {
	identity
	Entries             uint64       `json:"entries"`
	EntryBytes          uint64       `json:"entry_bytes"`
	Negatives           uint64       `json:"negatives"`
	FailingNames        uint64       `json:"failing_names"`
	BreakerOpen         bool         `json:"breaker_open"`
	DiskEntries         uint64       `json:"disk_entries"`
	DiskBytes           uint64       `json:"disk_bytes"`
	FirstCertificateEnd time.Time    `json:"first_certificate_end,omitzero"`
	FirstBridgeEnd      time.Time    `json:"first_bridge_end,omitzero"`
	Fleet               *fleetFacts  `json:"fleet,omitempty"`
	Limits              store.Limits `json:"limits"`
}

// fleetFacts is what is shared with other nodes.
type fleetFacts struct {
	BreakerOpen  bool      `json:"breaker_open"` // the storage fails, and is left alone
	Operations   uint64    `json:"operations"`   // that have not returned
	Writes       uint64    `json:"writes"`       // that wait
	PurgesReadAt time.Time `json:"purges_read_at,omitzero"`
}

func fleetOf(cache Cache, counters native.Counters) *fleetFacts {
	if !cache.IsDistributed() {
		return nil
	}
	return &fleetFacts{
		BreakerOpen:  counters.FleetBreakerIsOpen,
		Operations:   counters.FleetOperations,
		Writes:       counters.FleetWrites,
		PurgesReadAt: counters.FleetPurgesReadAt.UTC(),
	}
}

func (s *Service) listCaches(response http.ResponseWriter, request *http.Request) error {
	if _, err := parameters(request); err != nil {
		return err
	}
	all := []cacheFacts{}
	for _, cache := range s.running() {
		counters, err := cache.Counters()
		if errors.Is(err, native.ErrClosed) {
			continue // just now
		}
		if err != nil {
			return err
		}
		all = append(all, cacheFacts{
			identity:            identityOf(cache),
			Entries:             counters.Entries,
			EntryBytes:          counters.EntryBytes,
			Negatives:           counters.Negatives,
			FailingNames:        counters.FailingNames,
			BreakerOpen:         counters.BreakerIsOpen,
			DiskEntries:         counters.DiskEntries,
			DiskBytes:           counters.DiskBytes,
			FirstCertificateEnd: counters.FirstCertificateEnd.UTC(),
			FirstBridgeEnd:      counters.FirstBridgeEnd.UTC(),
			Fleet:               fleetOf(cache, counters),
			Limits:              cache.Limits(),
		})
	}
	writeJSON(response, http.StatusOK, all)
	return nil
}

var states = []string{
	string(store.StateFresh), string(store.StateStale), string(store.StateExpired), string(store.StateNegative),
	string(store.StateFailing), string(store.StateDisk), string(store.StateEnding),
}

// errInvalidCursor: the rest of a query is checked here.
var errInvalidCursor = &native.Error{Status: native.StatusInvalidArgument}

const (
	defaultLimit = 100
	maxLimit     = 10_000
)

func (s *Service) listNames(response http.ResponseWriter, request *http.Request) error {
	asked, err := parameters(request, "cache", "prefix", "state", "limit", "cursor")
	if err != nil {
		return err
	}
	query := store.NamesQuery{
		Prefix: asked.Get("prefix"),
		State:  store.NameState(asked.Get("state")),
		Limit:  defaultLimit,
		Cursor: asked.Get("cursor"),
	}
	if query.State != "" && !slices.Contains(states, string(query.State)) {
		return newProblem(http.StatusBadRequest, "state=%s is unknown; the states are %s",
			shortened(url.QueryEscape(string(query.State)), 80), strings.Join(states, ", "))
	}
	if query.State == store.StateEnding && (query.Prefix != "" || query.Cursor != "") {
		return newProblem(http.StatusBadRequest, "state=ending is in the order of time and has neither prefix nor cursor; "+
			"it lists up to limit=%d names", maxLimit)
	}
	if text := asked.Get("limit"); text != "" {
		query.Limit, err = strconv.Atoi(text)
		if err != nil || query.Limit < 1 || query.Limit > maxLimit {
			return newProblem(http.StatusBadRequest, "limit is a number from 1 to %d", maxLimit)
		}
	}
	cache, err := s.choose(asked.Get("cache"))
	if err != nil {
		return err
	}
	page, err := cache.Names(request.Context(), query)
	if errors.Is(err, errInvalidCursor) {
		return newProblem(http.StatusBadRequest, "%v; begin without one", err)
	}
	if err != nil {
		return err
	}
	if page.Names == nil {
		page.Names = []store.NameSummary{}
	}
	writeJSON(response, http.StatusOK, page)
	return nil
}

func (s *Service) inspect(response http.ResponseWriter, request *http.Request) error {
	asked, err := parameters(request, "cache")
	if err != nil {
		return err
	}
	name := request.PathValue("name")
	cache, err := s.choose(asked.Get("cache"))
	if err != nil {
		return err
	}
	facts, err := cache.Inspect(request.Context(), name)
	orders := s.orderFacts(name)
	if errors.Is(err, store.ErrUnknownName) && orders != nil {
		facts, err = store.NameFacts{Name: issuance.NormalName(name), Entries: []store.EntryFacts{}}, nil
	}
	if errors.Is(err, store.ErrUnknownName) {
		return newProblem(http.StatusNotFound, "cache %s knows nothing of %s", cache.ID(), quoted(name))
	}
	if err != nil {
		return err
	}
	writeJSON(response, http.StatusOK, struct {
		store.NameFacts
		Cache   string          `json:"cache"`
		Backend string          `json:"backend"`
		Orders  *issuance.Facts `json:"orders,omitempty"` // of this Caddy, whatever the cache
	}{facts, cache.ID(), cache.Backend(), orders})
	return nil
}

// parameters are those of the query, each of them known and given once: a misspelt one must not be a wish that is
// overlooked.
func parameters(request *http.Request, known ...string) (url.Values, error) {
	given, err := url.ParseQuery(request.URL.RawQuery)
	if err != nil {
		return nil, newProblem(http.StatusBadRequest, "the query can't be parsed; write it as in ?prefix=shop&limit=10")
	}
	for name, values := range given {
		if !slices.Contains(known, name) {
			allowed := "there are none here"
			if len(known) > 0 {
				allowed = "the parameters are " + strings.Join(known, ", ")
			}
			return nil, newProblem(http.StatusBadRequest, "the parameter %s is unknown; %s", quoted(name), allowed)
		}
		if len(values) > 1 {
			return nil, newProblem(http.StatusBadRequest, "the parameter %s stands %d times; give it once", name, len(values))
		}
	}
	return given, nil
}
