package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
	"github.com/cached-http/caddy-cached-http/go/internal/store/storetest"
)

// open gets a lease for options in JSON, as a module instance of the configuration does.
func open(t *testing.T, text string, configuration any) (*store.Lease, *host, error) {
	t.Helper()
	options := new(config.Getter)
	if err := caddy.StrictUnmarshalJSON([]byte(text), options); err != nil {
		t.Fatal(err)
	}
	if err := options.Prepare(); err != nil {
		t.Fatal(err)
	}
	host := newHost(configuration)
	lease, err := store.Open(options, host)
	return lease, host, err
}

// run is a lease whose configuration runs.
func run(t *testing.T, text string) (*store.Lease, *host) {
	t.Helper()
	lease, host, err := open(t, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	lease.Start()
	return lease, host
}

func release(t *testing.T, leases ...*store.Lease) {
	t.Helper()
	for _, lease := range leases {
		if err := lease.Release(); err != nil {
			t.Error(err)
		}
	}
}

func TestAReloadKeepsTheEngine(t *testing.T) {
	opened := storetest.Use(t)
	old, _ := run(t, `{"url": "http://user:one@backend.example/x", "max_memory": 1000}`)
	renewed, host := run(t, `{"url": "http://user:two@BACKEND.example/x", "max_memory": 2000, "ttl": "1h"}`)
	other, _ := run(t, `{"url": "http://backend.example/y"}`)
	if len(*opened) != 2 || old.Store != renewed.Store || other.Store == old.Store {
		t.Fatalf("%d engines", len(*opened))
	}
	first := (*opened)[0]
	// The first time says that it serves.
	if len(first.Resized) != 2 || !strings.Contains(first.Resized[1], `"max_memory":2000`) {
		t.Errorf("resized: %v", first.Resized)
	}
	if old.EngineLogger() != host.logger {
		t.Error("the engine does not log where the newest configuration says")
	}
	release(t, old, old) // the second time changes nothing
	if first.IsClosed() {
		t.Fatal("the engine was closed under the newer configuration")
	}
	release(t, renewed, other)
	if !first.IsClosed() || !(*opened)[1].IsClosed() {
		t.Error("an engine is still open")
	}
}

func TestTheGreatestLimitsApply(t *testing.T) {
	opened := storetest.Use(t)
	big, _ := run(t, `{"url": "http://backend.example", "cache_dir": "/x", "max_disk": 4, "max_memory": 2000, "max_negative_memory": 10}`)
	small, _ := run(t, `{"url": "http://backend.example", "cache_dir": "/x", "max_disk": 3, "max_memory": 1000, "max_negative_memory": 20}`)
	last := func() string {
		resized := (*opened)[0].Resized
		if len(resized) == 0 {
			return ""
		}
		return resized[len(resized)-1]
	}
	if settings := last(); !strings.Contains(settings, `"max_disk":4,"max_memory":2000,"max_negative_memory":20,`) {
		t.Error(settings)
	}
	release(t, big)
	if settings := last(); !strings.Contains(settings, `"max_disk":3,"max_memory":1000,"max_negative_memory":20,`) {
		t.Error(settings)
	}
	release(t, small)
	if len((*opened)[0].Resized) != 3 {
		t.Error((*opened)[0].Resized)
	}
}

// A configuration that is still being loaded may be rejected: until it runs, it changes nothing for the one that does.
func TestALoadingConfigurationIsNeitherAskedNorToldNorCounted(t *testing.T) {
	opened := storetest.Use(t)
	options := `{"url": "http://backend.example", "max_memory": 1000}`
	running, runningHost := run(t, options)
	loading, loadingHost, err := open(t, strings.Replace(options, "1000", "2000", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	fake := (*opened)[0]
	expect := func(newest *store.Lease, told *host) {
		t.Helper()
		if leases := store.RunningLeases(); len(leases) == 0 || leases[0] != newest || slices.Contains(leases, loading) != (newest == loading) {
			t.Errorf("running: %v", leases)
		}
		fake.Events <- native.Event{Kind: native.EventFinished, Status: native.StatusNegative, ServerName: "a.example", AskedBackend: true}
		if event := storetest.Within(t, told.events, "event"); event.Outcome != store.NoCertificate || event.ServerName != "a.example" {
			t.Errorf("%+v", event)
		}
	}
	expect(running, runningHost)
	if len(fake.Resized) != 1 || len(loadingHost.events) > 0 {
		t.Errorf("resized %v, %d events", fake.Resized, len(loadingHost.events))
	}
	rejected, _, err := open(t, strings.Replace(options, "1000", "3000", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	release(t, rejected)
	if len(fake.Resized) != 1 {
		t.Error(fake.Resized)
	}
	loading.Start()
	expect(loading, loadingHost)
	release(t, running)
	rejected.Start() // late
	expect(loading, loadingHost)
	if last := fake.Resized[len(fake.Resized)-1]; !strings.Contains(last, `"max_memory":2000`) {
		t.Error(last)
	}
	release(t, loading)
	if leases := store.RunningLeases(); len(leases) > 0 || !fake.IsClosed() {
		t.Error(leases)
	}
}

func TestOneConfigurationMustNotMixWhatTheBackendTellsDifferentClients(t *testing.T) {
	storetest.Use(t)
	folder := t.TempDir()
	for name, text := range map[string]string{"a": "one authority", "copy": "one authority", "b": "another"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trusting := func(name string) string {
		return fmt.Sprintf(`{"url": "https://backend.example", "trusted_ca": [%q]}`, filepath.Join(folder, name))
	}
	one, next := new(int), new(int)
	const first = `{"url": "http://backend.example", "header": {"X-Account": ["a"]}}`
	for _, test := range []struct {
		text          string
		configuration any
		refused       bool
	}{
		{first, one, false},
		{first, one, false},
		{`{"url": "http://backend.example", "header": {"X-Account": ["b"]}}`, one, true},
		{`{"url": "http://user@backend.example", "header": {"X-Account": ["a"]}}`, one, true},
		{`{"url": "http://backend.example?account=b", "header": {"X-Account": ["b"]}}`, one, false},
		{trusting("a"), one, false},
		{trusting("copy"), one, false},
		{trusting("b"), one, true},
		// Credentials may change with a reload.
		{`{"url": "http://backend.example", "header": {"X-Account": ["c"]}}`, next, false},
	} {
		lease, _, err := open(t, test.text, test.configuration)
		if errors.Is(err, store.ErrOtherIdentity) != test.refused || err != nil && !test.refused {
			t.Errorf("%s: %v", test.text, err)
		}
		if err == nil {
			t.Cleanup(func() { release(t, lease) })
		}
	}
}

// Two caches of one configuration would have the same records on the storage.
func TestWhatSharesAStorageMustBeAbleToReadIt(t *testing.T) {
	storetest.Use(t)
	one, next := new(int), new(int)
	folder := t.TempDir()
	cache := func(name, account, keys, storage string) string {
		return fmt.Sprintf(`{"url": "http://backend.example", "cache_dir": %q, "header": {"X-Account": [%q]}, `+
			`"distributed": {"encryption_keys": [%s], "storage": {"module": "file_system", "root": %q}}}`, filepath.Join(folder, name), account, keys, storage)
	}
	for _, test := range []struct {
		text          string
		configuration any
		refusal       error
	}{
		{cache("a", "a", `"/k1", "/k2"`, "/s"), one, nil},
		{cache("b", "a", `"/k2", "/k1"`, "/s"), one, nil}, // while a key is changed
		{cache("c", "a", `"/k1"`, "/s"), one, store.ErrOtherKeys},
		{cache("c", "a", `"/k3"`, "/other"), one, nil},
		{cache("d", "b", `"/k1", "/k2"`, "/s"), one, store.ErrOtherRecords},
		{cache("e", "a", `"/k3"`, "/s"), next, nil},
	} {
		lease, _, err := open(t, test.text, test.configuration)
		if !errors.Is(err, test.refusal) || err != nil && test.refusal == nil {
			t.Errorf("%s: %v", test.text, err)
		}
		if err == nil {
			t.Cleanup(func() { release(t, lease) })
		}
	}
}

func TestAnEngineOutlivesTheHandshakesOfItsConfiguration(t *testing.T) {
	opened := storetest.Use(t)
	var end func()
	synchronous := store.AfterFunc
	defer func() { store.AfterFunc = synchronous }()
	store.AfterFunc = func(delay time.Duration, returnToPool func()) {
		if delay != 5*time.Second+3*time.Second {
			t.Errorf("given back after %v", delay)
		}
		end = returnToPool
	}
	lease, _ := run(t, `{"url": "http://backend.example", "timeout": "3s"}`)
	release(t, lease)
	if (*opened)[0].IsClosed() {
		t.Fatal("closed under handshakes of the configuration that went")
	}
	// A configuration that comes back in time finds its certificates.
	again, _ := run(t, `{"url": "http://backend.example"}`)
	end()
	if len(*opened) != 1 || (*opened)[0].IsClosed() {
		t.Fatal("closed under the newer configuration")
	}
	store.AfterFunc = synchronous
	release(t, again)
	if !(*opened)[0].IsClosed() {
		t.Fatal("still open")
	}
}

func TestDestructGivesUpOnAnEngineThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := storetest.New()
		hanging := store.NewStore(hangingEngine{fake})
		start := time.Now()
		if err := hanging.Destruct(); err == nil || time.Since(start) != store.DrainTimeout {
			t.Error(err, time.Since(start))
		}
		close(fake.Done)
		<-hanging.Drained()
	})
}

type hangingEngine struct{ *storetest.Engine }

func (hangingEngine) Close() error { return nil }
