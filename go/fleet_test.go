package cachedhttp

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/filestorage"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// shared is the part of a getter's JSON that makes it a node of a fleet, whose storage is a folder.
func shared(t *testing.T, folder string) string {
	t.Helper()
	key := filepath.Join(t.TempDir(), "fleet.key")
	if err := os.WriteFile(key, []byte(strings.Repeat("4b", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`, "cache_dir": %q, "distributed": {"encryption_keys": [%q], "storage": {"module": "file_system", "root": %q}}`,
		filepath.Join(t.TempDir(), "cache"), key, folder)
}

// records are the files of a folder and all below it.
func records(t *testing.T, folder string) (records [][]byte) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // a folder of the test
		records = append(records, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// Two caches of one process share what a real engine has sealed into a real storage.
func TestWhatOneNodeWasSentServesTheOther(t *testing.T) {
	folder := t.TempDir()
	backend := testbackend.New(t)
	backend.Keep("a.example", backend.Bundle(testca.P256, "a.example"), "s-maxage=60")
	one := newServer(t, openGetter(t, backend, shared(t, folder)), backend.Roots())
	if err := one.handshake("a.example"); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	if err := registerMetrics(registry); err != nil {
		t.Fatal(err)
	}
	const sealed = "caddy_cached_http_fleet_certificates_total sealed"
	for end := time.Now().Add(30 * time.Second); gather(t, registry)[sealed] == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing was written to the storage")
		}
	}
	for _, record := range records(t, folder) {
		if bytes.Contains(record, []byte("PRIVATE KEY")) || bytes.Contains(record, []byte("a.example")) {
			t.Error("it is in clear")
		}
	}
	backend.Answer("a.example", testbackend.Status(http.StatusBadGateway))
	two := newServer(t, openGetter(t, backend, shared(t, folder)), backend.Roots())
	begin := time.Now()
	if err := two.handshake("a.example"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 100*time.Millisecond { // beside a storage that takes longer, the backend is asked
		expectRequests(t, backend, "a.example", 1)
	}

	const journalRead = "caddy_cached_http_fleet_purges_read_timestamp_seconds"
	values := gather(t, registry)
	for end := time.Now().Add(30 * time.Second); values[journalRead] == 0 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		values = gather(t, registry)
	}
	for name, want := range map[string]float64{
		"caddy_cached_http_fleet_certificates_total adopted":            1,
		"caddy_cached_http_fleet_certificates_total sealed":             1,
		"caddy_cached_http_fleet_operation_duration_seconds store done": 1,
		"caddy_cached_http_fleet_operation_duration_seconds load found": 1,
		"caddy_cached_http_fleet_breaker_open":                          0,
		"caddy_cached_http_fleet_records_refused_total unknown_key":     0,
		"caddy_cached_http_fleet_operations_failed_total":               0,
	} {
		if got, known := values[name]; !known || got != want {
			t.Errorf("%s is %v (known: %v), not %v", name, got, known, want)
		}
	}
	if values[journalRead] == 0 {
		t.Error("the journal was never read")
	}
}

func TestAFleetWithoutAUsableKeyIsRefused(t *testing.T) {
	for name, options := range map[string]string{
		"no key":       ``,
		"no file":      `, "encryption_keys": ["/no/such/file"]`,
		"not a key":    `, "encryption_keys": ["/dev/null"]`,
		"out of range": `, "encryption_keys": ["/dev/null"], "timeout": "1h"`,
	} {
		getter := new(CertGetter)
		if err := caddy.StrictUnmarshalJSON([]byte(`{"url": "http://127.0.0.1:9/", "distributed": {"storage": {"module": "file_system"}`+options+`}}`), getter); err != nil {
			t.Fatal(err)
		}
		err := provision(t, getter)
		if err == nil {
			t.Errorf("%s: it is accepted", name)
		} else {
			t.Log(err)
		}
		_ = getter.Cleanup()
	}
}
