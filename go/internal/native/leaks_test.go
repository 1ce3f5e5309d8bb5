//go:build linux && !asan

package native

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// What getting and releasing over and over leaves behind, seen from Go. tests/abi/leaks.c does the same without Go's heap
// around it. The address sanitizer keeps what is freed for a while, and looks for leaks itself.
func TestNothingIsLeftBehind(t *testing.T) {
	rounds := 20_000
	if os.Getenv("SOAK") != "" {
		rounds = 1_000_000
	}
	backend := testbackend.New(t)
	backend.Keep("a.example", backend.Bundle(testca.P256, "a.example"), "s-maxage=3600")
	getAndRelease(t, backend.URL(), 20_000) // to warm up
	before := whatIsHeld(t)
	begin := time.Now()
	getAndRelease(t, backend.URL(), rounds)
	took := time.Since(begin)

	// Threads and connections of a closed engine end by themselves, and memory goes back to the system by and by.
	var left held
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left = whatIsHeld(t).minus(before)
		if left.isLittle() || time.Now().After(deadline) {
			break
		}
	}
	t.Logf("%d get and release in %v: RSS %+d KiB, handles %d, threads %+d, descriptors %+d",
		rounds, took.Round(time.Millisecond), left.residentKiB, LiveHandles(), left.threads, left.descriptors)
	if LiveHandles() != 0 || !left.isLittle() {
		t.Error("more is held than before")
	}
}

// isLittle: 4 MiB are 200 bytes for each of the fewest rounds, and what the race detector takes of its own.
func (h held) isLittle() bool { return h.threads <= 2 && h.descriptors <= 2 && h.residentKiB <= 4096 }

func getAndRelease(t *testing.T, url string, rounds int) {
	t.Helper()
	const p256 = 0x0403
	engine, err := OpenEngine([]byte(engineJSON))
	if err != nil {
		t.Fatal(err)
	}
	settings := fmt.Sprintf(`{"url":%q,"default_ttl_ms":60000,"negative_ttl_ms":60000,"timeout_ms":5000,"stale_if_error_ms":0,"refresh_ahead":false}`, url)
	config, err := engine.OpenLookupConfig([]byte(settings))
	if err != nil {
		t.Fatal(err)
	}
	config.Lookup("a.example", HelloECDSA, "", 1)
	if err := engine.ConfirmCandidate(next(t, engine).Entry); err != nil {
		t.Fatal(err)
	}
	next(t, engine)
	for round := range rounds {
		answer := config.Lookup("a.example", HelloECDSA, "", 0)
		key, _, err := engine.OpenEntry(answer.Entry)
		if err != nil {
			t.Fatal(answer.Status, err)
		}
		if round%100 == 0 {
			if _, err := key.Sign(p256, false, []byte("message")); err != nil {
				t.Fatal(err)
			}
			if answer := config.Lookup("127.0.0.1", 0, "", 0); answer.Reason == "" {
				t.Fatal(answer.Status)
			}
		}
		if err := key.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(config.Close(), engine.Close()); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := engine.NextEvents(); errors.Is(err, ErrClosed) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// held is what a process has of the machine.
type held struct{ residentKiB, threads, descriptors int }

func (h held) minus(other held) held {
	return held{h.residentKiB - other.residentKiB, h.threads - other.threads, h.descriptors - other.descriptors}
}

func whatIsHeld(t *testing.T) held {
	t.Helper()
	debug.FreeOSMemory()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		t.Fatal(err)
	}
	count := func(folder string) int {
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	return held{resident * os.Getpagesize() >> 10, count("/proc/self/task"), count("/proc/self/fd")}
}
