package store_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
	"github.com/cached-http/caddy-cached-http/go/internal/store/storetest"
)

func TestFactsAreReadFromTheCertificate(t *testing.T) {
	lease, fake, _ := newLease(t)
	fake.Keep(9, "shop.example")
	leaf := fake.Chains[9][0]
	fake.Operations = map[string]native.Event{"inspect": {Status: native.StatusOK, Text: fmt.Sprintf(
		`{"name":"shop.example","entries":[{"leaf":%q,"fetched_at":1700000000123,"fresh_until":1700000060000,"state":"fresh","in_memory":true,"on_disk":true}],`+
			`"retry_at":1700000001000,"last_error":"answered 500","disk_error":"the disk does not answer"}`, base64.StdEncoding.EncodeToString(leaf))}}
	facts, err := lease.Inspect(t.Context(), "Shop.example")
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(leaf)
	entry := facts.Entries[0]
	if entry.SHA256 != hex.EncodeToString(digest[:]) || !slices.Equal(entry.DNSNames, []string{"shop.example"}) ||
		entry.KeyType != "ECDSA P-256" || entry.Issuer == "" || entry.Serial == "" {
		t.Errorf("%+v", entry)
	}
	if !entry.FetchedAt.Equal(time.UnixMilli(1700000000123)) || entry.StaleUntil != nil || !slices.Equal(entry.In, []string{"memory", "disk"}) {
		t.Errorf("%+v", entry)
	}
	if facts.LastError != "answered 500" || facts.DiskError != "the disk does not answer" || !facts.RetryAt.Equal(time.UnixMilli(1700000001000)) || facts.NegativeUntil != nil {
		t.Errorf("%+v", facts)
	}
}

func TestAnOperationEndsInEveryCase(t *testing.T) {
	lease, fake, _ := newLease(t)
	fake.Operations = map[string]native.Event{
		"inspect":   {Status: native.StatusMiss, Text: "nothing is known of this name"},
		"purge":     {Status: native.StatusInvalidName, Text: "x: the server name has a single label"},
		"purge_all": {Status: native.StatusOK, Text: "not JSON"},
		"sync":      {Status: native.StatusOverloaded, Text: "1,024 operations are under way"},
	}
	if _, err := lease.Inspect(t.Context(), "shop.example"); !errors.Is(err, store.ErrUnknownName) {
		t.Error(err)
	}
	if _, err := lease.Purge(t.Context(), []string{"x"}); !errors.Is(err, store.ErrInvalidName) {
		t.Error(err)
	}
	if _, err := lease.PurgeAll(t.Context()); err == nil {
		t.Error("an answer that is none is an error")
	}
	if err := lease.Sync(t.Context(), time.Now()); !errors.Is(err, store.ErrBusy) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	errGone := errors.New("the client is gone")
	cancel(errGone)
	if _, err := lease.Names(ctx, store.NamesQuery{Limit: 1}); !errors.Is(err, errGone) {
		t.Error(err) // the engine has not answered
	}
	closed := make(chan error, 1)
	go func() {
		_, err := lease.Names(t.Context(), store.NamesQuery{Limit: 1})
		closed <- err
	}()
	for lease.Waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := lease.Destruct(); err != nil {
		t.Error(err)
	}
	if err := storetest.Within(t, closed, "end"); !errors.Is(err, store.ErrNotRunning) {
		t.Error(err)
	}
	if lease.Waiting() != 0 {
		t.Error("somebody is still waited for")
	}
}

func TestWithoutARunningConfigurationNothingIsAsked(t *testing.T) {
	s := store.NewStore(storetest.New())
	defer func() { _ = s.Destruct() }()
	if _, err := s.PurgeAll(t.Context()); !errors.Is(err, store.ErrNotRunning) {
		t.Error(err)
	}
	if result := s.Refresh(t.Context(), "shop.example"); result.Outcome != store.OutcomeFailed {
		t.Error(result)
	}
}

func TestARefreshTellsTheWorstThatCameOfAName(t *testing.T) {
	for _, test := range []struct {
		answers []native.Event // for browsers, RSA only, and the most capable
		want    store.RefreshOutcome
	}{
		{[]native.Event{{Status: native.StatusHit, AskedBackend: true}}, store.OutcomeFound},
		{[]native.Event{{Status: native.StatusHit, AskedBackend: true, NotModified: true}}, store.OutcomeNotModified},
		{[]native.Event{{Status: native.StatusNegative}}, store.OutcomeNoCertificate},
		{[]native.Event{{Status: native.StatusHit, AskedBackend: true, NotModified: true}, {Status: native.StatusHit, AskedBackend: true}}, store.OutcomeFound},
		{[]native.Event{{Status: native.StatusHit, AskedBackend: true}, {Status: native.StatusFailed, Text: "answered 500"}}, store.OutcomeFailed},
	} {
		lease, fake, _ := newLease(t)
		result := make(chan store.RefreshResult, 1)
		go func() { result <- lease.Refresh(t.Context(), "shop.example") }()
		for index := range 3 {
			if index == len(test.answers) {
				fake.Answer("shop.example", native.Answer{Status: native.StatusMiss})
			}
			if index < len(test.answers) {
				event := test.answers[index]
				event.Kind, event.Tokens = native.EventFinished, []uint64{storetest.Within(t, fake.Started, "request")}
				if index == len(test.answers)-1 {
					fake.Answer("shop.example", native.Answer{Status: native.StatusMiss}) // nothing of the other kinds is held
				}
				fake.Events <- event
			}
		}
		if got := storetest.Within(t, result, "result"); got.Outcome != test.want || got.Name != "shop.example" {
			t.Errorf("%+v, wanted %s", got, test.want)
		}
	}
}

// A disk that stays slow ends a prefetch's name, not the other way round.
func TestAPrefetchWaitsForTheDiskOnlySoLong(t *testing.T) {
	fake := storetest.New()
	lease := store.NewLease(fake, newHost(nil), 100*time.Millisecond)
	defer func() { _ = lease.Destruct() }()
	fake.Answer("shop.example", native.Answer{Status: native.StatusOverloaded})
	result := make(chan store.RefreshResult, 1)
	go func() { result <- lease.Prefetch(t.Context(), "shop.example") }()
	if got := storetest.Within(t, result, "result"); got.Outcome != store.OutcomeFailed || got.Reason != "the disk under cache_dir does not keep up" {
		t.Errorf("%+v", got)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the client is gone"))
	if got := lease.Prefetch(ctx, "shop.example"); !strings.Contains(got.Reason, "the client is gone") {
		t.Errorf("%+v", got)
	}
}
